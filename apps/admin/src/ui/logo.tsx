export function Logo({ size = 28 }: { size?: number }) {
  return (
    <svg width={size} height={size} viewBox="0 0 32 32" aria-hidden="true">
      <rect width="32" height="32" rx="8" fill="var(--mantine-color-iris-6)" />
      <g fill="none" stroke="#fff" strokeWidth="2.2" strokeLinejoin="round" strokeLinecap="round">
        <path d="M16 6.5 25.5 11.5 16 16.5 6.5 11.5Z" fill="#fff" />
        <path d="m6.5 16.3 9.5 5 9.5-5" />
        <path d="m6.5 20.8 9.5 5 9.5-5" opacity=".6" />
      </g>
    </svg>
  );
}

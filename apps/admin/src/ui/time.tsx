import { useNow } from './use-now';

const UNITS = [
  ['year', 31_536_000],
  ['month', 2_592_000],
  ['day', 86_400],
  ['hour', 3600],
  ['minute', 60],
] as const;

const relative = new Intl.RelativeTimeFormat('en', { numeric: 'auto' });
const exact = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium', timeStyle: 'medium' });
const day = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium' });
const clock = new Intl.DateTimeFormat('en-GB', { timeStyle: 'medium' });

export const formatDay = (timeMs: number): string => day.format(timeMs);
export const formatClock = (timeMs: number): string => clock.format(timeMs);

/** "3 minutes ago", "in 2 months"; the exact local time is in the tooltip. */
export function RelativeTime({ at }: { at: string }) {
  const now = useNow(30_000);
  const timeMs = Date.parse(at);
  return (
    <time dateTime={at} title={exact.format(timeMs)}>
      {distance(Math.round((timeMs - now) / 1000))}
    </time>
  );
}

/** A day, "12 Jan 2026"; the exact local time is in the tooltip. */
export function Day({ at }: { at: string }) {
  const timeMs = Date.parse(at);
  return (
    <time dateTime={at} title={exact.format(timeMs)}>
      {formatDay(timeMs)}
    </time>
  );
}

function distance(seconds: number): string {
  for (const [unit, length] of UNITS) {
    if (Math.abs(seconds) >= length) return relative.format(Math.round(seconds / length), unit);
  }
  return seconds > 0 ? 'in a moment' : 'just now';
}

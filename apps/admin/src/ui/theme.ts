import { createTheme, type CSSVariablesResolver, type MantineColorsTuple, Modal } from '@mantine/core';

const iris: MantineColorsTuple = [
  '#f3f3fe',
  '#e5e5fd',
  '#ccccfb',
  '#b1b1f6',
  '#9494ee',
  '#7777e5',
  '#5b5bd6',
  '#4d4dc4',
  '#4040a6',
  '#333384',
];

const gray: MantineColorsTuple = [
  '#f7f8fa',
  '#eff1f5',
  '#e3e6ec',
  '#d3d7e0',
  '#b6bcc9',
  '#8f96a8',
  '#62697b',
  '#474d5d',
  '#2e3340',
  '#191c25',
];

/** From text to the page's background. */
const dark: MantineColorsTuple = [
  '#dfe2ea',
  '#c3c8d4',
  '#9aa1b1',
  '#6f7687',
  '#3d4352',
  '#2c313d',
  '#20242e',
  '#181b23',
  '#101218',
  '#0b0c11',
];

export const theme = createTheme({
  primaryColor: 'iris',
  primaryShade: 6,
  colors: { iris, gray, dark },
  black: '#191c25',
  autoContrast: true,
  defaultRadius: 'md',
  cursorType: 'pointer',
  respectReducedMotion: true,
  // Not `system-ui`, which is DejaVu on many a Linux.
  fontFamily: '-apple-system, "Segoe UI", Roboto, "Noto Sans", Ubuntu, "Liberation Sans", Arial, sans-serif',
  fontFamilyMonospace: 'ui-monospace, SFMono-Regular, Menlo, Consolas, "Liberation Mono", monospace',
  headings: {
    fontWeight: '650',
    sizes: { h1: { fontSize: '1.625rem', lineHeight: '1.25' }, h2: { fontSize: '1.0625rem', lineHeight: '1.4' } },
  },
  components: {
    Modal: Modal.extend({
      defaultProps: { radius: 'lg', padding: 'lg', closeButtonProps: { 'aria-label': 'Close' } },
      styles: { title: { fontSize: '1.1875rem', fontWeight: 650 } },
    }),
  },
});

/** In the light, text that has the contrast of WCAG AA; in the dark, tints of the surface instead of glaring colours. */
export const cssVariables: CSSVariablesResolver = ({ colors }) => ({
  variables: {},
  light: {
    '--mantine-color-error': 'var(--mantine-color-red-9)',
    '--mantine-color-red-text': 'var(--mantine-color-red-9)',
    '--mantine-color-orange-text': '#b8400b',
    '--mantine-color-orange-light-color': '#b8400b',
    '--mantine-color-teal-light-color': '#06704f',
    '--mantine-color-red-light-color': '#b42222',
  },
  dark: {
    '--mantine-color-error': 'var(--mantine-color-red-4)',
    ...Object.fromEntries(
      Object.keys(colors)
        .filter((name) => name !== 'dark')
        .flatMap(tints),
    ),
  },
});

function tints(name: string): [property: string, value: string][] {
  const color = `--mantine-color-${name}`;
  return [
    [`${color}-light`, `color-mix(in srgb, var(${color}-5) 16%, transparent)`],
    [`${color}-light-hover`, `color-mix(in srgb, var(${color}-5) 24%, transparent)`],
    [`${color}-light-color`, `var(${color}-3)`],
  ];
}

const decimal = (digits: number) => new Intl.NumberFormat('en', { maximumFractionDigits: digits });
const whole = decimal(0);
const tenths = decimal(1);
const hundredths = decimal(2);

/** As many decimals as matter at that size: 0.42, 8.3, 1,247. */
export function formatNumber(value: number): string {
  const size = Math.abs(value);
  return (size >= 100 ? whole : size >= 10 ? tenths : hundredths).format(value);
}

/** A ratio of 0 to 1 in per cent, without the sign; 99.97 % is not rounded up to 100. */
export function formatPercent(ratio: number): string {
  const percent = ratio * 100;
  return formatNumber(percent > 99 && percent < 100 ? Math.floor(percent * 100) / 100 : percent);
}

/** Milliseconds with their unit; what is below a hundredth is not shown as nothing. */
export function formatMs(milliseconds: number): string {
  return milliseconds > 0 && milliseconds < 0.01 ? '< 0.01 ms' : `${formatNumber(milliseconds)} ms`;
}

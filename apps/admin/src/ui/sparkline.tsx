import { useMantineTheme } from '@mantine/core';
import { useId } from 'react';

const WIDTH = 120;
const HEIGHT = 32;
/** Room for the stroke, so that a peak is not cut off. */
const INSET = 2;

/** The course of a figure, newest at the right. Decoration next to the figure itself; a null leaves a gap. */
export function Sparkline({ values, color }: { values: readonly (number | null)[]; color: string }) {
  const gradient = useId();
  const stroke = useMantineTheme().colors[color]?.[5] ?? color;
  const highest = Math.max(...values.map((value) => value ?? 0), Number.EPSILON);
  const runs = toRuns(values).map((run) =>
    run.map(({ index, value }) => ({
      x: values.length < 2 ? WIDTH : (index / (values.length - 1)) * WIDTH,
      y: HEIGHT - INSET - (value / highest) * (HEIGHT - 2 * INSET),
    })),
  );
  return (
    <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} width="100%" height={HEIGHT} preserveAspectRatio="none" aria-hidden="true">
      <linearGradient id={gradient} x1="0" y1="0" x2="0" y2="1">
        <stop offset="0" stopColor={stroke} stopOpacity="0.28" />
        <stop offset="1" stopColor={stroke} stopOpacity="0" />
      </linearGradient>
      {runs.map((run, index) => {
        const line = run.map(({ x, y }) => `${x.toFixed(1)},${y.toFixed(1)}`).join(' L');
        const from = run[0]?.x.toFixed(1) ?? '0';
        const to = run.at(-1)?.x.toFixed(1) ?? '0';
        return (
          <g key={index}>
            <path d={`M${line} L${to},${HEIGHT} L${from},${HEIGHT}Z`} fill={`url(#${gradient})`} />
            <path d={`M${line}`} fill="none" stroke={stroke} strokeWidth="1.5" vectorEffect="non-scaling-stroke" />
          </g>
        );
      })}
    </svg>
  );
}

interface Sample {
  index: number;
  value: number;
}

function toRuns(values: readonly (number | null)[]): Sample[][] {
  const runs: Sample[][] = [[]];
  values.forEach((value, index) => {
    if (value === null) runs.push([]);
    else runs.at(-1)?.push({ index, value });
  });
  return runs.filter((run) => run.length > 1);
}

/** What entries have to fit beside a prefix. */
export interface SweepCriteria {
  readonly pattern?: string | undefined;
  readonly tag?: string | undefined;
}

interface SweepNotice extends SweepCriteria {
  readonly prefix: string;
}

/** Parts the prefix from the rest. No key has it; a prefix that somebody asks for may. */
const SWEPT = '\u0005swept';

/** What is announced in place of a key to be dropped, where entries are about to be removed by how their keys begin. */
export function sweepNotice(prefix: string, { pattern, tag }: SweepCriteria): string {
  // JSON has no control characters, so the last mark is the one that counts.
  return `${prefix}${SWEPT}${JSON.stringify({ pattern, tag })}`;
}

/** Undefined for a key. */
export function readSweepNotice(text: string): SweepNotice | undefined {
  const at = text.lastIndexOf(SWEPT);
  if (at < 0) return undefined;
  return { ...(JSON.parse(text.slice(at + SWEPT.length)) as SweepCriteria), prefix: text.slice(0, at) };
}

/**
 * What an announcement says of a change, in one character before its revision. `nothing`: a removal met no entry;
 * `leased`: the key is kept for whoever may fill it. The script of the Redis layers writes the same characters.
 */
export const MARKS = {
  created: 'c',
  updated: 'u',
  touched: 't',
  removed: 'd',
  nothing: 'n',
  leased: 'l',
  expired: 'x',
} as const;

export type Mark = (typeof MARKS)[keyof typeof MARKS];

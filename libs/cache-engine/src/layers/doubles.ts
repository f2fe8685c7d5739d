/** Numbers as big-endian doubles: positive ones sort like their bytes. */
export function doubles(...numbers: number[]): Buffer {
  const bytes = Buffer.allocUnsafe(8 * numbers.length);
  numbers.forEach((number, index) => bytes.writeDoubleBE(number, index * 8));
  return bytes;
}

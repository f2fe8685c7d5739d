import type { Tree } from './tree.js';

/**
 * Takes a body of a format that describes itself apart, one level at a time, without building what is not asked for.
 * A part is what the format cuts out best: a text, a span of bytes.
 *
 * Whatever passes a method is checked to its depths; all of them throw MalformedBody.
 */
export interface Splitter<Part> {
  /** A whole body as a part. */
  open(bytes: Buffer): Part;
  /**
   * The members of an object, by name.
   * @param maxDepth how deep arrays and objects may nest, this one included
   * @throws MalformedBody also where a name occurs twice
   */
  members(part: Part, maxDepth: number): ReadonlyMap<string, Part>;
  items(part: Part, maxDepth: number): readonly Part[];
  /** A part that `members` or `items` gave, within the depth that was asked for there. */
  tree(part: Part): Tree;
  /** Such a part as the bytes of a value. */
  bytes(part: Part): Buffer;
}

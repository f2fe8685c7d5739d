/** An object names the same member twice where only one meaning is allowed. */
export class DuplicateMember extends Error {
  override readonly name = 'DuplicateMember';

  constructor(readonly member: string) {
    super(`member ${JSON.stringify(member)} occurs twice`);
  }
}

/** Arrays and objects are nested deeper than `maxDepth` levels. */
export class TooDeep extends Error {
  override readonly name = 'TooDeep';

  constructor(readonly maxDepth: number) {
    super(`nested deeper than ${maxDepth} levels`);
  }
}

/** The JSON Patch operation that was refused, by its place in the patch. */
export interface RefusedOperation {
  readonly index: number;
  readonly path: string;
}

/** The patch is well-formed but does not apply to this target. `operation` is set for a JSON Patch only. */
export class MergeNotPossible extends Error {
  override readonly name = 'MergeNotPossible';

  constructor(
    readonly reason: string,
    readonly operation?: RefusedOperation,
  ) {
    super(operation ? `operation ${operation.index} (${JSON.stringify(operation.path)}): ${reason}` : reason);
  }
}

/** The text is not a JSON Patch document. `operationIndex` is undefined where the document as a whole is wrong. */
export class MalformedJsonPatch extends Error {
  override readonly name = 'MalformedJsonPatch';

  constructor(
    readonly operationIndex: number | undefined,
    readonly reason: string,
  ) {
    super(operationIndex === undefined ? reason : `operation ${operationIndex}: ${reason}`);
  }
}

/** An operand of an addition is not a JSON number. Its text is left out: it may be large, or not for the logs. */
export class NotANumber extends Error {
  override readonly name = 'NotANumber';

  constructor(readonly operand: 'first' | 'second') {
    super(`the ${operand} operand is not a JSON number`);
  }
}

/** A sum of doubles that JSON has no spelling for. */
export class SumNotFinite extends Error {
  override readonly name = 'SumNotFinite';

  constructor(readonly sum: number) {
    super('the sum is beyond the range of a double');
  }
}

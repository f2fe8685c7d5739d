import { MergeNotPossible } from './errors.js';
import { type JsonNode, type JsonObject, parse, print } from './tree.js';

/**
 * Objects merge member by member at every level; an array, a scalar or null of the patch replaces what is there.
 *
 * Takes texts that `JSON.parse` has accepted. What the patch does not name stays as it was written.
 *
 * @throws MergeNotPossible where the target or the patch is not an object
 * @throws TooDeep beyond `MAX_DEPTH` levels
 */
export function deepMerge(targetText: string, patchText: string): string {
  const target = objectOf(targetText, 'the value');
  mergeMembers(target, objectOf(patchText, 'the patch'));
  return print(target);
}

/**
 * Each top-level member of the patch replaces the one of that name, or is added at the end.
 *
 * Takes texts that `JSON.parse` has accepted. What the patch does not name stays as it was written.
 *
 * @throws MergeNotPossible where the target or the patch is not an object
 * @throws TooDeep beyond `MAX_DEPTH` levels
 */
export function shallowMerge(targetText: string, patchText: string): string {
  const target = objectOf(targetText, 'the value');
  const patch = objectOf(patchText, 'the patch');
  for (const [name, { nameText, value }] of patch.members) target.set(name, value, nameText);
  return print(target);
}

/**
 * JSON Merge Patch (RFC 7396): null removes a member, an object merges, anything else replaces. A patch that is not an
 * object replaces the whole target.
 *
 * Takes texts that `JSON.parse` has accepted. What the patch does not name stays as it was written.
 *
 * @throws TooDeep beyond `MAX_DEPTH` levels
 */
export function mergePatch(targetText: string, patchText: string): string {
  return print(patched(parse(targetText), parse(patchText)));
}

function objectOf(text: string, role: string): JsonObject {
  const node = parse(text);
  if (node.kind !== 'object') throw new MergeNotPossible(`${role} is not an object`);
  return node;
}

// The recursions below go no deeper than the patch, and opening its root has already refused more than MAX_DEPTH.

function mergeMembers(target: JsonObject, patch: JsonObject): void {
  for (const [name, { nameText, value }] of patch.members) {
    const current = target.members.get(name)?.value;
    if (current?.kind === 'object' && value.kind === 'object') {
      mergeMembers(current, value);
      target.set(name, current, nameText);
    } else {
      target.set(name, value, nameText);
    }
  }
}

function patched(target: JsonNode | undefined, patch: JsonNode): JsonNode {
  if (patch.kind !== 'object') return patch;
  if (target?.kind !== 'object') return withoutNulls(patch);
  for (const [name, { nameText, value }] of patch.members) {
    if (isNull(value)) {
      if (target.members.has(name)) target.change().delete(name);
    } else {
      target.set(name, patched(target.members.get(name)?.value, value), nameText);
    }
  }
  return target;
}

/** A patch merged into nothing. One without any null is taken over exactly as it was written. */
function withoutNulls(patch: JsonObject): JsonObject {
  if (patch.text?.includes('null') === false) return patch;
  for (const [name, { nameText, value }] of patch.members) {
    if (isNull(value)) patch.change().delete(name);
    else if (value.kind === 'object') patch.set(name, withoutNulls(value), nameText);
  }
  return patch;
}

function isNull(node: JsonNode): boolean {
  return node.kind === 'scalar' && node.text === 'null';
}

import type { CacheEvent } from '@cache-system/cache-engine';
import type { NoticeEvent } from '@cache-system/contracts';
import { eventText } from '../platform/http/event-stream.js';
import type { KeySpace } from './cache-key.js';
import { isoTime } from './entry-text.js';
import { versionText } from './etag.js';
import { select } from './selection.js';

/** What a caller gets to see of an event, as it is sent; empty for what is not its business. */
export type EventView = (event: CacheEvent) => string;

/** Keeps to the caller's namespace and to the prefixes of its keys; `prefix` narrows that. */
export function eventView(space: KeySpace, prefix: string | undefined): EventView {
  const selection = select(space, { prefix });
  const { prefixes } = selection;
  const isLimited = space.allowedPrefixes.length > 0;
  return (event) => {
    const { kind, key, id, revision, atMs } = event;
    if (kind === 'reset') return noticeText('reset', 'changes_missed', id);
    const at = isoTime(atMs);
    if (kind === 'invalidate') {
      return narrowed(event, prefixes, isLimited)
        .map(({ key: start, ...rest }) =>
          eventText(kind, { prefix: selection.nameOf({ key: start }), ...rest, at }, id),
        )
        .join('');
    }
    if (!prefixes.some((each) => key.startsWith(each))) return '';
    const name = selection.nameOf({ key });
    return eventText(kind, kind === 'set' ? { key: name, version: versionText(revision), at } : { key: name, at }, id);
  };
}

const MESSAGES = {
  position_unknown: 'What has happened since Last-Event-ID is not known here: check all that you keep',
  changes_missed: 'Some changes may have been missed: check all that you keep',
  too_slow: 'You have not read for too long: come again with Last-Event-ID',
  node_stopping: 'This node stops: come again with Last-Event-ID',
  not_authorized: 'The credentials do not permit to read on',
} as const satisfies Record<NoticeEvent['reason'], string>;

export function noticeText(event: 'reset' | 'overflow' | 'end', reason: NoticeEvent['reason'], id?: string): string {
  const notice: NoticeEvent = { reason, message: MESSAGES[reason] };
  return eventText(event, notice, id);
}

/** An invalidation as far as it concerns keys that begin with one of the prefixes, once for each that it concerns. */
function narrowed({ key, pattern, tag }: CacheEvent, prefixes: readonly string[], isLimited: boolean) {
  if (prefixes.some((each) => key.startsWith(each))) return [{ key, pattern, tag }];
  return (
    prefixes
      .filter((each) => each.startsWith(key))
      // The names that others look for, and their tags, are not for who may see some keys only: those are all in doubt.
      .map((each) => (isLimited ? { key: each } : { key: each, pattern, tag }))
  );
}

import type { Format } from '../entry.js';

/** A format that bodies are read and written in. `raw` bytes are a value only and no format of documents. */
export type BodyFormat = Exclude<Format, 'raw'>;

/** The media type that a response in the format names. None but JSON is registered with IANA. */
export const MEDIA_TYPES: Readonly<Record<BodyFormat, string>> = {
  json: 'application/json',
  msgpack: 'application/msgpack',
  protobuf: 'application/protobuf',
  bson: 'application/bson',
};

const BODY_FORMATS: readonly BodyFormat[] = ['json', 'msgpack', 'protobuf', 'bson'];

/** Every name under which a body may come. */
const FORMATS_BY_TYPE: ReadonlyMap<string, BodyFormat> = new Map([
  ['application/json', 'json'],
  ['application/msgpack', 'msgpack'],
  ['application/x-msgpack', 'msgpack'],
  ['application/vnd.msgpack', 'msgpack'],
  ['application/protobuf', 'protobuf'],
  ['application/x-protobuf', 'protobuf'],
  ['application/bson', 'bson'],
]);

export const BODY_MEDIA_TYPES: readonly string[] = [...FORMATS_BY_TYPE.keys()];

/** The format that a `Content-Type` names; parameters such as a charset say nothing about it. */
export function formatOfMediaType(contentType: string): BodyFormat | undefined {
  const [type = ''] = contentType.split(';', 1);
  return FORMATS_BY_TYPE.get(type.trim().toLowerCase());
}

/** A range of an `Accept` header: RFC 9110, section 12.5.1. */
interface AcceptedRange {
  readonly type: string;
  /** 0 (refused) to 1. */
  readonly quality: number;
}

/**
 * The format that an `Accept` header prefers: of the highest quality the one that is named first. A range of any type,
 * and no header, mean JSON, or where JSON itself is given another quality, the next format that is not named.
 *
 * Undefined when the caller takes none of the formats, which is a 406.
 */
export function negotiateFormat(accept: string | undefined): BodyFormat | undefined {
  if (accept === undefined || accept.trim() === '' || accept === '*/*') return 'json';
  const ranges = accept.split(',').map(parseRange);
  const named = new Set(ranges.map(({ type }) => FORMATS_BY_TYPE.get(type)));
  let best: BodyFormat | undefined;
  let bestQuality = 0;
  for (const { type, quality } of ranges) {
    const any = type === '*/*' || type === 'application/*';
    const format = any ? BODY_FORMATS.find((each) => !named.has(each)) : FORMATS_BY_TYPE.get(type);
    if (format === undefined || quality <= bestQuality) continue;
    best = format;
    bestQuality = quality;
  }
  return best;
}

function parseRange(range: string): AcceptedRange {
  const [type = '', ...parameters] = range.split(';').map((part) => part.trim().toLowerCase());
  const weight = parameters.find((parameter) => parameter.startsWith('q='))?.slice(2);
  if (weight === undefined) return { type, quality: 1 };
  // A weight that is none counts as the smallest: the range is still better than a 406.
  return { type, quality: /^(?:0(?:\.\d{0,3})?|1(?:\.0{0,3})?)$/.test(weight) ? Number(weight) : 0.001 };
}

/** No part of the text that a URL is made of otherwise: unlike braces, a URL keeps it as it is. */
const MARKS = { key: 'xx-key-xx', suffix: 'xx-suffix-xx' } as const;
const EITHER_MARK = new RegExp(`(${MARKS.key}|${MARKS.suffix})`);

/** The URL of a key. Undefined when the key cannot be told from another in a URL: `..` would be another resource. */
export type UrlOf = (key: string) => URL | undefined;

/**
 * @param template that `sourcesSchema` has accepted
 * @param prefix that every key begins with
 */
export function urlTemplate(template: string, prefix: string): UrlOf {
  const marked = template.replaceAll('{key}', MARKS.key).replaceAll('{suffix}', MARKS.suffix);
  // Normalised once, so that a URL which comes out otherwise than it was put together shows what the key did to it.
  const parts = new URL(marked).href.split(EITHER_MARK);
  return (key) => {
    const values = new Map<string, string>([
      [MARKS.key, key],
      [MARKS.suffix, key.slice(prefix.length)],
    ]);
    if (parts.some((part) => values.get(part) === '')) return undefined;
    try {
      const text = parts.map((part) => encodeSegment(values.get(part)) ?? part).join('');
      const url = new URL(text);
      return url.href === text ? url : undefined;
    } catch {
      // Half of a surrogate pair has no UTF-8.
      return undefined;
    }
  };
}

/** Everything but the unreserved characters (RFC 3986 §2.3) is encoded, so that no server takes a part for a delimiter. */
function encodeSegment(text: string | undefined): string | undefined {
  if (text === undefined) return undefined;
  return encodeURIComponent(text).replaceAll(/[!'()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`);
}

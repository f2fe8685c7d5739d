/** An entry's version as text: what the API calls `version`, and the opaque part of its ETag. */
export function versionText(version: number): string {
  return String(version);
}

/** The number behind a version text; undefined for a text that is not one, which thus matches no entry. */
export function parseVersion(text: string): number | undefined {
  const version = /^[1-9]\d{0,15}$/.test(text) ? Number(text) : NaN;
  return Number.isSafeInteger(version) ? version : undefined;
}

export function etag(version: number): string {
  return `"${version}"`;
}

/** An entry's version as text: what the API calls `version`, and the opaque part of its ETag. */
export function versionText(version: number): string {
  return version.toString(36);
}

/** The number behind a version text; undefined for a text that is not one, which thus matches no entry. */
export function parseVersion(text: string): number | undefined {
  const version = /^[0-9a-z]{1,11}$/.test(text) ? parseInt(text, 36) : NaN;
  return Number.isSafeInteger(version) ? version : undefined;
}

export function etag(version: number): string {
  return `"${versionText(version)}"`;
}

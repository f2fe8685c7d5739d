import type { FirstStart } from '../auth/bootstrap.js';
import type { Environment } from '../platform/env.js';

/** What a person sees on standard output once the service answers. Secrets are there at the first start only. */
export function banner(
  url: string,
  { ADMIN_EMAIL, DATA_DIR, BOOTSTRAP_API_KEY, ADMIN_PASSWORD }: Environment,
  first: FirstStart,
  hasDocs: boolean,
): string {
  const lines = [
    '',
    '  Cache System is running.',
    '',
    `  API      ${url}/v1`,
    ...(hasDocs ? [`  Swagger  ${url}/docs`] : []),
    `  Admin    ${url}/admin`,
    `  Data     ${DATA_DIR}`,
    '',
  ];
  if (first.adminPassword !== undefined) {
    const password = ADMIN_PASSWORD === undefined ? first.adminPassword : '(from ADMIN_PASSWORD)';
    lines.push(`  Admin e-mail     ${ADMIN_EMAIL}`, `  Admin password   ${password}`);
  }
  if (first.apiKey !== undefined) {
    lines.push(`  API key          ${BOOTSTRAP_API_KEY === undefined ? first.apiKey : '(from BOOTSTRAP_API_KEY)'}`);
  }
  if (first.adminPassword !== undefined || first.apiKey !== undefined) {
    const key = BOOTSTRAP_API_KEY === undefined ? (first.apiKey ?? '$API_KEY') : '$BOOTSTRAP_API_KEY';
    lines.push(
      '  Shown this once: keep them.',
      '',
      '  Try it:',
      `  curl -X PUT ${url}/v1/cache/hello -H "X-API-Key: ${key}" -H "Content-Type: application/json" -d '{"value":"world"}'`,
      '',
    );
  }
  return `${lines.join('\n')}\n`;
}

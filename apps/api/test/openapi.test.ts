import { readFileSync } from 'node:fs';
import path from 'node:path';
import { ERROR_CODES } from '@cache-system/contracts';
import type { z } from 'zod';
import { documentSchema, type Operation, pathToNothing, readOperations } from './support/openapi.js';
import { type Service, startService } from './support/service.js';

const COMMITTED = path.join(__dirname, '../openapi.json');

let service: Service;
let text: string;
let document: z.infer<typeof documentSchema>;
let operations: Operation[];
beforeAll(async () => {
  service = await startService();
  const answer = await service.client.get('/docs-json');
  expect(answer.headers['content-type']).toMatch(/^application\/json/);
  text = answer.text;
  document = documentSchema.parse(answer.json);
  operations = await readOperations(service.client);
});
afterAll(() => service.stop());

/** Runs a check on each operation and says all that it found. */
function eachOperation(check: (operation: Operation) => readonly string[]): void {
  const found = operations.flatMap((operation) =>
    check(operation).map((problem) => `${operation.method} ${operation.path}: ${problem}`),
  );
  expect(found).toEqual([]);
}

describe('the OpenAPI document', () => {
  test('is the one that is committed', () => {
    expect(JSON.parse(text)).toEqual(JSON.parse(readFileSync(COMMITTED, 'utf8')));
  });

  test('is open to everybody, for Swagger UI to read', async () => {
    expect((await service.client.with({}).get('/docs-json')).status).toBe(200);
  });

  test('gives every operation an id of its own', () => {
    const ids = operations.map(({ operationId }) => operationId);
    expect(new Set(ids).size).toBe(ids.length);
  });

  test('has a component for every reference, and no path for which two templates stand', () => {
    const references = [...text.matchAll(/"\$ref":"([^"]+)"/g)].map(([, reference]) => reference!);
    expect(references.length).toBeGreaterThan(20);
    const known = Object.keys(document.components.schemas).map((name) => `#/components/schemas/${name}`);
    expect(references.filter((reference) => !known.includes(reference))).toEqual([]);
    const shapes = Object.keys(document.paths).map((each) => each.replace(/\{\w+\}/g, '{}'));
    expect(new Set(shapes).size).toBe(shapes.length);
  });

  test('has no component that nothing refers to', () => {
    const names = Object.keys(document.components.schemas);
    expect(names.filter((name) => !text.includes(`"#/components/schemas/${name}"`))).toEqual([]);
  });

  test('lists the parameters of each path once, and requires them', () => {
    eachOperation((operation) => {
      const inPath = [...operation.path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
      const declared = operation.parameters.filter((parameter) => parameter.in === 'path');
      const all = operation.parameters.map((parameter) => `${parameter.in} ${parameter.name.toLowerCase()}`);
      return [
        ...inPath.filter((name) => !declared.some((parameter) => parameter.name === name)).map((name) => `no ${name}`),
        ...declared
          .filter(({ name, required }) => !inPath.includes(name) || !required)
          .map(({ name }) => `bad ${name}`),
        ...(new Set(all).size === all.length ? [] : ['a parameter twice']),
      ];
    });
  });

  test('shows an example of each body that goes out or comes back in success', () => {
    eachOperation(({ requestBody, responses }) => {
      const good = Object.entries(responses).filter(([status]) => status.startsWith('2'));
      const bodies = [...good, ['request', requestBody] as const];
      return bodies.flatMap(([where, body]) =>
        Object.entries(body?.content ?? {})
          // A body by reference has its examples in its component's fields.
          .filter(([, { example, examples, schema }]) => !example && !examples && !hasExamples(schema.$ref))
          .map(([type]) => `no example of ${where} ${type}`),
      );
    });
  });

  test('names the errors of each operation, with an example of each code', () => {
    eachOperation((operation) => {
      const { responses } = operation;
      const access = operation['x-permission'];
      const expected = ['500', ...(access === 'public' ? [] : ['401', '429', '503'])];
      if (!['public', 'authenticated'].includes(access)) expected.push('403');
      if (operation.requestBody) expected.push('400');
      const problems = expected.filter((status) => !responses[status]).map((status) => `no ${status}`);
      for (const [status, { description, content }] of Object.entries(responses)) {
        if (Number(status) < 400) continue;
        const { schema, examples = {} } = content?.['application/json'] ?? {};
        const codes = Object.keys(examples);
        if (schema?.$ref !== '#/components/schemas/Error') problems.push(`${status} is no error`);
        if (codes.length === 0) problems.push(`${status} without an example`);
        for (const code of codes as (keyof typeof ERROR_CODES)[]) {
          if (String(ERROR_CODES[code].status) !== status) problems.push(`${code} under ${status}`);
          if (!description.includes(code)) problems.push(`${status} does not tell of ${code}`);
        }
      }
      return problems;
    });
  });

  test('says of each operation that both kinds of credential open it, or none', () => {
    expect(document.components.securitySchemes).toMatchObject({
      api_key: { type: 'apiKey', in: 'header', name: 'X-API-Key' },
      bearer: { type: 'http', scheme: 'bearer' },
    });
    eachOperation((operation) => {
      const schemes = (operation.security ?? []).flatMap((each) => Object.keys(each)).sort();
      const wanted = operation['x-permission'] === 'public' ? [] : ['api_key', 'bearer'];
      return schemes.join() === wanted.join() ? [] : [`opened by ${schemes.join()}`];
    });
  });

  test('has the operations that the service has', async () => {
    for (const operation of operations) {
      const { method, path: template } = operation;
      const { status, json } = await service.client.send(method, pathToNothing(operation));
      const { code } = (json as { error?: { code: string } } | undefined)?.error ?? {};
      expect({ template, method, status, code }).not.toMatchObject({ code: 'ROUTE_NOT_FOUND' });
      expect({ template, method, status }).not.toMatchObject({ status: 405 });
    }
  });

  function hasExamples(reference: string | undefined): boolean {
    const { example, properties = {} } = document.components.schemas[reference?.split('/').at(-1) ?? ''] ?? {};
    const fields = Object.values(properties as Record<string, { example?: unknown }>);
    return example !== undefined || fields.some((field) => field.example !== undefined);
  }
});

describe('Swagger UI', () => {
  test('loads with everything that it asks for', async () => {
    const page = await service.client.with({}).get('/docs');
    expect(page.status).toBe(200);
    expect(page.headers['content-type']).toMatch(/^text\/html/);
    expect(page.text).toContain('Cache System API');
    const assets = [...page.text.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, reference]) => reference!);
    expect(assets.length).toBeGreaterThanOrEqual(5);
    for (const reference of assets) {
      const url = new URL(reference, `${service.api.url}/docs`);
      expect(url.origin).toBe(service.api.url);
      const asset = await service.client.with({}).get(url.pathname);
      expect({ reference, status: asset.status }).toEqual({ reference, status: 200 });
      expect(asset.text).not.toBe('');
      const type = String(asset.headers['content-type']);
      expect(type).toMatch(
        reference.endsWith('.js') ? /javascript/ : reference.endsWith('.css') ? /^text\/css/ : /^image\//,
      );
    }
  });

  test('is not kept from running by a content security policy', async () => {
    const { headers, text: page } = await service.client.get('/docs');
    const policy = String(headers['content-security-policy'] ?? "script-src 'self'; style-src 'unsafe-inline'");
    expect(policy).toMatch(/script-src[^;]*'self'/);
    expect(policy).toMatch(/style-src[^;]*'unsafe-inline'/);
    // No policy that a page like this needs allows scripts in the page itself.
    expect(page.replace(/<script[^>]*\bsrc=[^>]*>\s*<\/script>/g, '')).not.toMatch(/<script/);
  });

  test('offers both kinds of credential and keeps them over a reload', async () => {
    const { text: script } = await service.client.get('/docs/swagger-ui-init.js');
    expect(script).toContain('"persistAuthorization": true');
    expect(script).toContain('"api_key"');
    expect(script).toContain('"bearer"');
  });
});

import { readFileSync } from 'node:fs';
import { entryPath } from './client.js';
import { eventually } from '../../../../tools/harness/eventually.mjs';
import type { Service } from './service.js';

const MAX_GROWTH_MIB = 150;
const WITNESS = { key: 'witness', text: '{"stored": "before", "n":12345678901234567890}' };

/** Remembers how a service is, to tell later that whatever came in between has done it no harm. */
export async function remember({ api, client }: Service): Promise<{ expectUnharmed(): Promise<void> }> {
  const at = entryPath(WITNESS.key);
  await client.put(`${at}?ttl=0`, `{"value":${WITNESS.text}}`);
  const before = await client.get(at);
  const residentBefore = residentMib(api.process.pid);
  return {
    async expectUnharmed() {
      expect({ exitCode: api.process.exitCode, signalCode: api.process.signalCode }).toEqual({
        exitCode: null,
        signalCode: null,
      });
      const after = await client.get(at);
      expect([after.text, after.headers['etag']]).toEqual([before.text, before.headers['etag']]);
      expect((await client.get('/health/ready')).status).toBe(200);
      // Garbage may wait for its collection a little.
      await eventually(`memory is no more than ${MAX_GROWTH_MIB} MiB above where it was`, () => {
        return residentMib(api.process.pid) <= residentBefore + MAX_GROWTH_MIB;
      });
    },
  };
}

/** 0 where there is no /proc. */
function residentMib(pid: number | undefined): number {
  if (process.platform !== 'linux') return 0;
  const [, kib = ''] = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${String(pid)}/status`, 'utf8')) ?? [];
  return Number(kib) / 1024;
}

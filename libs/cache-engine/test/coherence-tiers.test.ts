import { eventually } from '../../../tools/harness/eventually.mjs';
import { redisCommand } from '../../../tools/harness/redis-command.mjs';
import { startRedisCluster } from '../../../tools/harness/redis-cluster.mjs';
import { startRedis } from '../../../tools/harness/redis-process.mjs';
import { startTcpProxy } from '../../../tools/harness/tcp-proxy.mjs';
import { createTemporaryFolder } from '../../../tools/harness/tied-process.mjs';
import type { Cache } from '../src/cache.js';
import { KeyNotFound } from '../src/errors.js';
import type { Copy, CopyLayer } from '../src/layer.js';
import { openCluster } from './layers.js';
import { node, put, text } from './nodes.js';
import type { ReadTrace } from '../src/read-trace.js';
import { openTiers, type TieredNode } from './tiers.js';

/** What was read so long ago must not become a copy any more. */
const LONG_MS = 5500;

/** Copies whose updates can be held back, as if the writer were slow between L3 and L2. */
class HeldBackCopies implements CopyLayer {
  waiting = 0;
  private gate: Promise<void> = Promise.resolve();

  constructor(private readonly inner: CopyLayer) {}

  holdBackWrites(): () => void {
    let release: () => void = () => undefined;
    this.gate = new Promise((resolve) => (release = resolve));
    return release;
  }

  async copyMany(copies: readonly Copy[]) {
    this.waiting++;
    await this.gate;
    return this.inner.copyMany(copies);
  }

  getCopies(keys: readonly string[], epoch: number) {
    return this.inner.getCopies(keys, epoch);
  }

  check() {
    return this.inner.check();
  }

  close() {
    return this.inner.close();
  }
}

describe('copies in L2 above L3', () => {
  const folder = createTemporaryFolder('l2');
  let cluster: Awaited<ReturnType<typeof startRedisCluster>>;
  let l2: Awaited<ReturnType<typeof startRedis>>;
  let proxy: Awaited<ReturnType<typeof startTcpProxy>>;
  let nodes: TieredNode[];
  let held: HeldBackCopies;
  let writer: Cache;
  let reader: TieredNode;

  const startL2 = (port?: number) => startRedis({ dir: folder.path, ...(port && { port }) });

  beforeAll(async () => {
    [cluster, l2] = await Promise.all([startRedisCluster(), startL2()]);
    proxy = await startTcpProxy(l2.port);
    const first = await openTiers(cluster.addresses, l2.url, (copies) => (held = new HeldBackCopies(copies)));
    reader = await openTiers(cluster.addresses, proxy.url('redis'));
    nodes = [first, reader];
    writer = first.cache;
  });
  afterAll(async () => {
    for (const one of nodes) await one.close();
    await proxy.stop();
    await Promise.all([cluster.stop(), l2.stop()]);
    folder.remove();
  });

  /** The reader takes a key from L2, and has no copy of its own. */
  async function inL2(key: string, value: string): Promise<void> {
    await eventually('the nodes trust each other', () => nodes.every(({ backplane }) => backplane.isTrusted()));
    await put(writer, key, value);
    await eventually('it is read from L2', async () => {
      reader.l1.drop(key);
      return (await reader.cache.read(key)).layer === 'L2';
    });
    reader.l1.drop(key);
  }

  const read = (key: string) => text(reader.cache, key);

  test('are not read after the change was announced and before they are brought up to date', async () => {
    await inL2('slow', '"old"');
    await reader.cache.read('slow');
    const before = held.waiting;
    const release = held.holdBackWrites();
    const writing = put(writer, 'slow', '"new"');
    await eventually('L3 has decided', () => held.waiting > before);
    await eventually('the reader has heard it', () => reader.cache.peek('slow') === undefined);
    const seen = await read('slow');
    release();
    await writing;
    expect(seen).toBe('"new"');
    expect(await read('slow')).toBe('"new"');
  });

  test('are passed over for a reason that a read can tell', async () => {
    const told = async (key: string, fresh = false) => {
      const trace = reader.cache.trace();
      await reader.cache.load(key, fresh, trace);
      return trace;
    };
    const steps = ({ steps: all }: ReadTrace) => all.map(({ layer, outcome }) => `${layer} ${outcome}`);
    await inL2('told', '"old"');
    const hit = await told('told');
    expect([steps(hit), hit.fences]).toEqual([['L2 hit'], [{ layer: 'L1', outcome: 'kept' }]]);
    expect(steps(await told('told', true))).toEqual(['L1 skipped', 'L2 skipped', 'L3 hit']);

    const readWhileL2LagsBehind = async () => {
      await inL2('told', '"old"');
      await reader.cache.read('told');
      const before = held.waiting;
      const release = held.holdBackWrites();
      const writing = put(writer, 'told', '"new"');
      await eventually('L3 has decided', () => held.waiting > before);
      await eventually('the reader has heard it', () => reader.cache.peek('told') === undefined);
      const trace = await told('told');
      release();
      await writing;
      return trace;
    };
    let fenced = await readWhileL2LagsBehind();
    // A reader that gets no time for a second does not trust what it knows, and asks L3 for that reason.
    while (fenced.steps[0]?.outcome === 'skipped') fenced = await readWhileL2LagsBehind();
    expect(steps(fenced)).toEqual(['L2 fenced', 'L3 hit']);
    expect(fenced.steps[0]!.reason).toBe('its copy is older than a change that was announced');
    expect(fenced.fences).toEqual([
      { layer: 'L2', outcome: 'sent' },
      { layer: 'L1', outcome: 'kept' },
    ]);

    l2.freeze();
    const late = await told('told');
    const broken = await told('told');
    l2.thaw();
    expect([steps(late), steps(broken)]).toEqual([
      ['L2 failed', 'L3 hit'],
      ['L2 failed', 'L3 hit'],
    ]);
    expect(late.steps[0]!.reason).toMatch(/^it did not answer within \d+ ms$/);
    expect(broken.steps[0]!.reason).toContain('circuit breaker');
    await inL2('told again', '1');
  });

  test('are brought up to date without the reads of this node being forgotten', async () => {
    await put(writer, 'counted', '1');
    expect([(await writer.read('counted')).hits, (await writer.read('counted')).hits]).toEqual([1, 2]);
    const release = held.holdBackWrites();
    const writing = put(writer, 'counted', '2');
    await eventually('the writer has heard its own change', () => writer.peek('counted') === undefined);
    release();
    await writing;
    expect(await writer.read('counted')).toMatchObject({ layer: 'L1', hits: 3 });
  });

  test('of a write whose node died before it brought them up to date are not read by anybody', async () => {
    await inL2('died', '"old"');
    const ghost = await openCluster(cluster.addresses);
    // It decides in L3, and does no more.
    await put(node(ghost.layer).cache, 'died', '"new"');
    await eventually('the reader has heard it', async () => (await read('died')) === '"new"');
    const late = await openTiers(cluster.addresses, l2.url);
    expect(await text(late.cache, 'died')).toBe('"new"');
    await late.close();
    await ghost.close();
  });

  test('that could not be brought up to date are not read once L2 is back', async () => {
    await inL2('frozen', '"old"');
    await inL2('removed', '"old"');
    l2.freeze();
    expect((await put(writer, 'frozen', '"new"')).layers).toEqual(['L1', 'L3']);
    await writer.remove('removed');
    const found = await reader.cache.read('frozen');
    expect(found).toMatchObject({ layer: 'L3' });
    reader.l1.drop('frozen');
    l2.thaw();
    await eventually('L2 is read again', async () => {
      reader.l1.drop('frozen');
      const { layer } = await reader.cache.read('frozen');
      expect(await read('frozen')).toBe('"new"');
      return layer === 'L2';
    });
    await expect(reader.cache.read('removed')).rejects.toBeInstanceOf(KeyNotFound);
  });

  test('that come back with an older state of L2 are not read', async () => {
    await inL2('restored', '"old"');
    const { port } = l2;
    await redisCommand(port, ['SAVE']);
    await put(writer, 'restored', '"new"');
    await eventually('the reader has heard it', () => reader.recent.latest('restored') !== undefined);
    await eventually('that is long ago', async () => {
      await put(writer, 'another', '"new"');
      return reader.recent.latest('restored') === undefined;
    });
    await l2.kill9();
    l2 = await startL2(port);
    await eventually('L2 is read again', async () => {
      reader.l1.drop('restored');
      const { layer } = await reader.cache.read('restored');
      expect(await read('restored')).toBe('"new"');
      return layer === 'L2';
    });
  });

  test('that were under way for long are not stored', async () => {
    await inL2('late', '"older"');
    await writer.remove('late');
    // Past L2, which thus has nothing newer to compare with.
    const past = await openCluster(cluster.addresses);
    await put(node(past.layer).cache, 'late', '"old"');
    const [entry] = await past.layer.getMany(['late']);
    const readAtMs = performance.now();
    proxy.stall();
    reader.tier.fill('late', entry!, reader.tier.currentEpoch, readAtMs);
    await past.layer.applyMany([{ kind: 'remove', key: 'late' }]);
    await eventually('long ago', () => performance.now() - readAtMs > LONG_MS);
    await proxy.pass();
    await eventually('the reader is connected to L2', () =>
      reader.redis.check().then(
        () => true,
        () => false,
      ),
    );
    const [copy] = await reader.redis.getCopies(['late'], reader.tier.currentEpoch);
    expect(copy).toBeUndefined();
    await past.close();
  });
});

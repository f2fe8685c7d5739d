import { combineViews, member, parseClusterNodes, slotRanges, slotsByMaster } from './topology.js';

const [A, B, C] = ['a', 'b', 'c'].map((letter) => letter.repeat(40)) as [string, string, string];
const ASKED = { host: '10.0.0.1', port: 7000 };

const line = (id: string, address: string, flags: string, ...rest: string[]) =>
  `${id} ${address} ${flags} ${['-', '0', '0', '1', 'connected', ...rest].join(' ')}\n`;

describe('CLUSTER NODES', () => {
  test('is read with slots on the move, host names and IPv6', () => {
    const text =
      line(A, ':7000@17000', 'myself,master', '0-2', '5', `[2->-${B}]`, `[9-<-${C}]`) +
      `${B} fe80::1:7001@17001,redis-2 slave,fail? ${A} 0 0 1 connected\n` +
      line(C, '10.0.0.3:7002@17002', 'handshake');
    const [a, b, c] = parseClusterNodes(text, ASKED);
    expect(a).toMatchObject({ address: ASKED, busPort: 17_000, role: 'master', isAsked: true, slots: [0, 1, 2, 5] });
    expect([...a!.migrating, ...a!.importing]).toEqual([
      [2, B],
      [9, C],
    ]);
    expect(b).toMatchObject({
      address: { host: 'fe80::1', port: 7001 },
      hostname: 'redis-2',
      role: 'replica',
      masterId: A,
      failing: 'suspected',
    });
    expect(c).toMatchObject({ isStranger: true });
  });
});

describe('views of several nodes', () => {
  const view = (...lines: string[]) => parseClusterNodes(lines.join(''), ASKED);

  test('that agree are one cluster', () => {
    const lines = (me: string) =>
      [A, B].map((id, index) =>
        line(id, `10.0.0.${index}:7000@17000`, id === me ? 'myself,master' : 'master', String(index)),
      );
    const topology = combineViews([view(...lines(A)), view(...lines(B))]);
    expect(topology.isAgreed).toBe(true);
    expect(topology.owners.slice(0, 3)).toEqual([A, B, undefined]);
    expect([...slotsByMaster(topology)]).toEqual([
      [A, [0]],
      [B, [1]],
    ]);
  });

  test('believe each node about itself, and the worst about who is silent', () => {
    const topology = combineViews([
      view(line(A, '10.0.0.1:7000@17000', 'myself,master', '0-9'), line(C, '10.0.0.3:7000@17000', 'master,fail?')),
      view(
        line(B, '10.0.0.2:7000@17000', 'myself,master', '10-19'),
        line(A, '10.0.0.1:7000@17000', 'master', '0-8'),
        line(C, '10.0.0.3:7000@17000', 'master,fail'),
      ),
    ]);
    expect(topology.isAgreed).toBe(false);
    expect(topology.owners[9]).toBe(A);
    expect(member(topology, C)).toMatchObject({ isReachable: false, failing: 'yes' });
  });

  test("show a slot that each of two holds for the other one's", () => {
    const topology = combineViews([
      view(line(A, '10.0.0.1:7000@17000', 'myself,master', '0-4'), line(B, '10.0.0.2:7000@17000', 'master', '5-9')),
      view(line(A, '10.0.0.1:7000@17000', 'master', '0-5'), line(B, '10.0.0.2:7000@17000', 'myself,master', '6-9')),
    ]);
    expect(topology.owners[5]).toBeUndefined();
    expect(topology.lostSlots).toEqual([5]);
  });

  test('leave out a node that has left and stands alone', () => {
    const alone = view(line(C, '10.0.0.3:7000@17000', 'myself,master'));
    const topology = combineViews([alone, view(line(A, '10.0.0.1:7000@17000', 'myself,master', '0-9'))]);
    expect(topology.members.map(({ id }) => id)).toEqual([A]);
  });
});

test('slots are written as ranges', () => {
  expect(slotRanges([0, 1, 2, 5, 7, 8])).toEqual([
    [0, 2],
    [5, 5],
    [7, 8],
  ]);
});

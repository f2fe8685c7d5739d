import { chooseMaster, chooseRole, planReplicas, type ReplicatedMaster } from './replica-plan.js';

const master = (id: string, host: string, ...replicaHosts: string[]): ReplicatedMaster => ({ id, host, replicaHosts });

describe('a new node becomes', () => {
  const replicated = [master('a', 'h1', 'h2'), master('b', 'h2', 'h3'), master('c', 'h3', 'h1')];

  test('a master while there are fewer than there should be, even if copies are missing', () => {
    expect(chooseRole('h4', replicated.slice(1), 3, 3)).toEqual({ role: 'master' });
  });

  test('a replica where a master has too few', () => {
    const lacking = [...replicated.slice(0, 2), master('c', 'h3')];
    expect(chooseRole('h4', lacking, 3, 2)).toEqual({ role: 'replica', masterId: 'c' });
  });

  test('one more master when nothing is missing', () => {
    expect(chooseRole('h4', replicated, 3, 2)).toEqual({ role: 'master' });
    expect(chooseRole('h4', [master('a', 'h1'), master('b', 'h2'), master('c', 'h3')], 3, 1)).toEqual({
      role: 'master',
    });
  });
});

describe('a replica goes to', () => {
  test('the master with the fewest', () => {
    expect(chooseMaster('h1', [master('a', 'h2', 'h3'), master('b', 'h1')])).toBe('b');
  });

  test('of equals one on another host, that has none on this host yet', () => {
    expect(chooseMaster('h1', [master('a', 'h1'), master('b', 'h2')])).toBe('b');
    expect(chooseMaster('h1', [master('a', 'h2', 'h1'), master('b', 'h3', 'h2')])).toBe('b');
  });

  test('nobody where there is no master', () => {
    expect(chooseMaster('h1', [])).toBeUndefined();
  });
});

test('several replicas are spread', () => {
  const replicas = ['r1', 'r2', 'r3'].map((id) => ({ id, host: 'h1' }));
  const plan = planReplicas(replicas, [master('a', 'h2', 'h3'), master('b', 'h3'), master('c', 'h1')]);
  expect(Object.fromEntries(plan)).toEqual({ r1: 'b', r2: 'c', r3: 'a' });
});

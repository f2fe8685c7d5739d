import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  type Addition,
  type ChangeProgress,
  type ClusterChange,
  type ClusterStep,
  type Removal,
  stepsOf,
} from './cluster-change.js';
import type { ClusterView } from './cluster-view.js';
import { ClusterChangeStalled } from './errors.js';
import { type NodeConnections, parseInfo } from './node-connections.js';
import { chooseMaster, planReplicas } from './replica-plan.js';
import { oneWay, planDeparture, planShareFor, type SlotMove } from './slot-plan.js';
import { SlotMover } from './slot-mover.js';
import { healthyMasters, isHealthy, type Member, member, nodeName, slotsByMaster, type Topology } from './topology.js';
import { replicatedMasters } from './replicated-masters.js';

const BUS_PORT_OFFSET = 10_000;
/** Clients of ours read the map of the slots anew each second. */
const CLIENTS_LEARN_WITHIN_MS = 2000;
const RETRY_MS = 200;
/** On the move at the same time: while one waits for a node, another keeps it busy. */
const SLOTS_AT_ONCE = 4;

/** Done, or what it waits for. */
type Outcome = 'done' | { readonly waitsFor: string };

/**
 * Carries changes out. Each step looks at how the cluster stands and does what is left to do, so that a change can be begun
 * again at any point, by whomever.
 */
export class ClusterChanges {
  private readonly mover: SlotMover;

  constructor(
    private readonly view: ClusterView,
    private readonly nodes: NodeConnections,
    /** Milliseconds without any progress after which a change is given up for now. A failover takes less. */
    private readonly stallAfterMs: number,
  ) {
    this.mover = new SlotMover(nodes);
  }

  /**
   * @throws ClusterChangeStalled
   * @throws the signal's reason; no slot is left half moved then
   */
  async carryOut(change: ClusterChange, progress: ChangeProgress, signal: AbortSignal): Promise<void> {
    for (const step of stepsOf(change)) {
      progress.began(step);
      await this.untilDone(signal, (onProgress) => this.attempt(step, change, { progress, signal, onProgress }));
    }
  }

  private attempt(step: ClusterStep, change: ClusterChange, run: Run): Promise<Outcome> {
    if (step === 'settle') return this.settle(run);
    if (step === 'move_slots') return this.moveSlots(change, run);
    if (change.kind === 'add') return step === 'meet' ? this.meet(change) : this.replicate(change);
    switch (step) {
      case 'move_replicas':
        return this.moveReplicas(change);
      case 'forget':
        return this.forget(change);
      default:
        return this.reset(change, run);
    }
  }

  private async meet({ id, address }: Addition): Promise<Outcome> {
    const topology = await this.view.read();
    const present = topology.members.filter(isHealthy);
    const know = (node: Member, other: Member) => topology.acquaintances.get(node.id)?.has(other.id) ?? false;
    if (present.some((node) => node.id === id) && present.every((node) => present.every((other) => know(node, other))))
      return 'done';
    const busPort = (await this.view.readAlone(address))?.busPort ?? address.port + BUS_PORT_OFFSET;
    // CLUSTER MEET takes no names.
    const ip = isIP(address.host) ? address.host : (await lookup(address.host)).address;
    // Each by itself: one that has forgotten the node within the last minute does not listen to the others about it.
    const unacquainted = present.filter((node) => node.id !== id && !topology.acquaintances.get(node.id)?.has(id));
    for (const node of unacquainted) {
      await this.nodes.text(node.address, 'CLUSTER', 'MEET', ip, String(address.port), String(busPort));
    }
    return { waitsFor: 'all nodes to know the new one' };
  }

  private async replicate({ id, masterId }: Addition): Promise<Outcome> {
    const topology = await this.view.read();
    const node = member(topology, id);
    if (!node?.isReachable) return { waitsFor: 'the new node to answer' };
    const info = parseInfo(await this.nodes.text(node.address, 'INFO', 'replication'));
    if (node.role === 'replica' && info.get('master_link_status') === 'up') return 'done';
    const present = healthyMasters(topology).filter((master) => master.id !== id);
    // The master that was meant may have been replaced by its replica meanwhile.
    const chosen =
      present.find((master) => master.id === masterId)?.id ??
      chooseMaster(node.address.host, replicatedMasters(topology, present));
    if (chosen === undefined) return { waitsFor: 'a master that answers' };
    if (node.masterId !== chosen) await this.nodes.text(node.address, 'CLUSTER', 'REPLICATE', chosen);
    return { waitsFor: `${nodeName(node)} to have the data of its master` };
  }

  private async moveSlots(change: ClusterChange, run: Run): Promise<Outcome> {
    const topology = await this.view.read();
    const halfMoved = await this.finishHalfMoved(topology, run);
    if (halfMoved) return halfMoved;
    const moves = this.plan(change, topology);
    if (!Array.isArray(moves)) return moves;
    run.progress.planned(moves.length);
    return moves.length === 0 ? 'done' : this.moveAll(moves, topology, run);
  }

  private plan(change: ClusterChange, topology: Topology): SlotMove[] | Exclude<Outcome, 'done'> {
    const shares = slotsByMaster(topology);
    const serving = healthyMasters(topology).filter(({ id }) => (shares.get(id)?.length ?? 0) > 0);
    const ids = new Set(serving.map(({ id }) => id));
    const node = member(topology, change.id);
    if (change.kind === 'add') {
      if (!node || !isHealthy(node)) return { waitsFor: 'the new node to answer' };
      // Masters without a slot, but for the new one, have no part in this.
      const parties = new Map([...shares].filter(([id, slots]) => slots.length > 0 || id === change.id));
      return planShareFor(parties, change.id, ids);
    }
    const left = shares.get(change.id)?.length ?? 0;
    if (left === 0) return [];
    if (!node || !isHealthy(node))
      return { waitsFor: `the node that leaves, which has ${left} slots still, to answer` };
    ids.delete(change.id);
    const moves = planDeparture(shares, change.id, ids);
    return moves.length === 0 ? { waitsFor: 'another master that can take slots' } : moves;
  }

  /**
   * Slots that somebody, who was interrupted, left on the move: ends the move, or where the other node is gone, takes it
   * back. One that two masters hold for the other's goes to who has its keys.
   */
  private async finishHalfMoved(topology: Topology, run: Run): Promise<Outcome | undefined> {
    const moves = new Map<number, SlotMove>();
    const masters = healthyMasters(topology);
    for (const slot of topology.lostSlots)
      await this.mover.assign(slot, await this.mover.keeper(slot, masters), masters);
    for (const node of masters) {
      for (const [slot, to] of node.migrating) {
        const target = member(topology, to);
        if (topology.owners[slot] === to && target) await this.mover.assign(slot, target, [node]);
        else if (target && isHealthy(target)) moves.set(slot, { slot, from: node.id, to });
        else if (!target || target.failing === 'yes') await this.mover.settle(slot, node);
        else return { waitsFor: `${nodeName(target)}, to which slot ${slot} is being moved, to answer` };
      }
      for (const slot of node.importing.keys()) {
        const owner = topology.owners[slot];
        if (owner === node.id) await this.mover.assign(slot, node, []);
        else if (owner === undefined) return { waitsFor: `a master of slot ${slot}` };
        else moves.set(slot, { slot, from: owner, to: node.id });
      }
    }
    return moves.size === 0 ? undefined : this.moveAll([...moves.values()], topology, run);
  }

  /** As many of them as can be made now. */
  private async moveAll(moves: readonly SlotMove[], topology: Topology, run: Run): Promise<Exclude<Outcome, 'done'>> {
    const masters = healthyMasters(topology);
    const ready = oneWay(moves).filter(({ from, to }) => hasHeardOf(topology, to, from));
    if (ready.length === 0) return { waitsFor: 'masters to hear of the epochs of those that give them slots' };
    const queue = ready.values();
    let failed = false;
    const work = async () => {
      for (const { slot, from, to } of queue) {
        run.signal.throwIfAborted();
        if (failed) return;
        const source = masters.find(({ id }) => id === from);
        const target = masters.find(({ id }) => id === to);
        if (!source || !target) throw new Error(`a master of slot ${slot} does not answer`);
        const others = masters.filter((each) => each !== source && each !== target);
        const { keys, bytes } = await this.mover.move(slot, source, target, others);
        run.onProgress();
        run.progress.moved(slot, keys, bytes);
      }
    };
    const workers = Array.from({ length: SLOTS_AT_ONCE }, () =>
      work().catch((error: unknown) => {
        failed = true;
        throw error;
      }),
    );
    // All have to stop before what went wrong is looked at: none may go on moving slots beside the next attempt.
    const outcomes = await Promise.allSettled(workers);
    run.signal.throwIfAborted();
    for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason as Error;
    return { waitsFor: 'the slots to be where they belong' };
  }

  private async moveReplicas({ id, replicas }: Removal): Promise<Outcome> {
    const topology = await this.view.read();
    const homeless = topology.members.filter(
      (node) => node.role === 'replica' && (node.masterId === id || replicas.includes(node.id)) && node.id !== id,
    );
    const reachable = homeless.filter(isHealthy);
    const masters = healthyMasters(topology).filter((master) => master.id !== id && master.slots.length > 0);
    const counted = replicatedMasters(topology, masters, [id, ...homeless.map((node) => node.id)]);
    const plan = planReplicas(
      reachable.map((node) => ({ id: node.id, host: node.address.host })),
      counted,
    );
    const misplaced = reachable.filter((node) => node.masterId !== plan.get(node.id));
    for (const node of misplaced) {
      await this.nodes.text(node.address, 'CLUSTER', 'REPLICATE', plan.get(node.id) ?? '');
    }
    if (misplaced.length > 0 || !topology.isAgreed) return { waitsFor: 'the replicas to have their new masters' };
    const links = await Promise.all(reachable.map((node) => this.nodes.text(node.address, 'INFO', 'replication')));
    const lagging = reachable.filter((_, index) => parseInfo(links[index] ?? '').get('master_link_status') !== 'up');
    return lagging[0] ? { waitsFor: `${nodeName(lagging[0])} to have the data of its new master` } : 'done';
  }

  /** All nodes within a minute: so long each refuses to hear of the node again from those that still know it. */
  private async forget({ id }: Removal): Promise<Outcome> {
    const topology = await this.view.read({ without: id });
    if (!member(topology, id)) return 'done';
    const others = topology.members.filter((node) => node.id !== id && node.isReachable);
    const answers = await Promise.allSettled(
      others.map((node) => this.nodes.text(node.address, 'CLUSTER', 'FORGET', id)),
    );
    const failure = answers.find(
      (answer): answer is PromiseRejectedResult =>
        answer.status === 'rejected' && !/Unknown node/.test((answer.reason as Error).message),
    );
    return {
      waitsFor: `all nodes to forget the one that leaves: ${failure ? String(failure.reason) : 'not done yet'}`,
    };
  }

  /** The node itself forgets the others, if it still runs, so that it does not go on talking to them. */
  private async reset({ id, address }: Removal, { signal }: Run): Promise<Outcome> {
    try {
      if ((await this.nodes.text(address, 'CLUSTER', 'MYID')) !== id) return 'done';
    } catch {
      return 'done';
    }
    // As long as it knows the others, it tells clients that come with an old map of the slots where to go.
    await sleep(CLIENTS_LEARN_WITHIN_MS, undefined, { signal });
    await this.nodes.text(address, 'CLUSTER', 'RESET', 'SOFT');
    return 'done';
  }

  private async settle(run: Run): Promise<Outcome> {
    const topology = await this.view.read();
    const halfMoved = await this.finishHalfMoved(topology, run);
    if (halfMoved) return halfMoved;
    return topology.isAgreed ? 'done' : { waitsFor: 'all nodes to see the same cluster' };
  }

  private async untilDone(signal: AbortSignal, attempt: (onProgress: () => void) => Promise<Outcome>): Promise<void> {
    let progressAtMs = performance.now();
    const onProgress = () => (progressAtMs = performance.now());
    for (;;) {
      signal.throwIfAborted();
      let reason: string;
      let cause: unknown;
      try {
        const outcome = await attempt(onProgress);
        if (outcome === 'done') return;
        reason = `waited for ${outcome.waitsFor}`;
      } catch (error) {
        signal.throwIfAborted();
        reason = (error as Error).message;
        cause = error;
      }
      if (performance.now() - progressAtMs > this.stallAfterMs) {
        throw new ClusterChangeStalled(`no progress for ${Math.round(this.stallAfterMs / 1000)} s: ${reason}`, {
          cause,
        });
      }
      await sleep(RETRY_MS, undefined, { signal }).catch(() => undefined);
    }
  }
}

/**
 * Whether a master knows the epoch of the other one. Then its own is higher when it takes a slot of that one, and all go by
 * its claim; without it, it might yield to what the other one claimed before.
 */
function hasHeardOf(topology: Topology, id: string, otherId: string): boolean {
  const [node, other] = [member(topology, id), member(topology, otherId)];
  if (!node || !other || node.configEpoch === other.configEpoch) return false;
  return topology.acquaintances.get(id)?.get(otherId) === other.configEpoch;
}

interface Run {
  readonly progress: ChangeProgress;
  readonly signal: AbortSignal;
  readonly onProgress: () => void;
}

import { formatAddress, type RedisAddress } from '../redis/address.js';

const SLOTS = 16_384;

/** A node as CLUSTER NODES has it. */
export interface ClusterNode {
  readonly id: string;
  readonly address: RedisAddress;
  /** Of the cluster bus, by which the nodes speak to each other. */
  readonly busPort: number;
  /** The host name that it announces. */
  readonly hostname: string | undefined;
  readonly role: 'master' | 'replica';
  /** Of a replica. */
  readonly masterId: string | undefined;
  /** It is the one that was asked. */
  readonly isAsked: boolean;
  /** Others hold it for dead (`fail`), or the one that was asked suspects it (`fail?`). */
  readonly failing: 'no' | 'suspected' | 'yes';
  /** It has not been shaken hands with, or has no address that is known. */
  readonly isStranger: boolean;
  readonly configEpoch: number;
  /** In ascending order. */
  readonly slots: readonly number[];
  /** Slots on the move, with the other node's id. Only the node itself tells of them. */
  readonly migrating: ReadonlyMap<number, string>;
  readonly importing: ReadonlyMap<number, string>;
}

/** Parses the reply to CLUSTER NODES; a node without a host of its own is where it was asked. */
export function parseClusterNodes(text: string, asked: RedisAddress): ClusterNode[] {
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => parseLine(line, asked));
}

function parseLine(line: string, asked: RedisAddress): ClusterNode {
  const [id = '', endpoint = '', flagText = '', masterId = '-', , , epoch = '0', , ...slotTexts] = line.split(' ');
  const flags = flagText.split(',');
  const [, host = '', port = '0', busPort = '0', hostname = ''] =
    /^(.*):(\d+)(?:@(\d+))?(?:,([^,]*))?/.exec(endpoint) ?? [];
  const slots: number[] = [];
  const migrating = new Map<number, string>();
  const importing = new Map<number, string>();
  for (const text of slotTexts) {
    const [, slot, way, other = ''] = /^\[(\d+)-([<>])-(\w+)\]$/.exec(text) ?? [];
    if (slot !== undefined) (way === '>' ? migrating : importing).set(Number(slot), other);
    else {
      const [from = 0, to = from] = text.split('-').map(Number);
      for (let each = from; each <= to; each++) slots.push(each);
    }
  }
  return {
    id,
    address: { host: host === '' ? asked.host : host, port: Number(port) },
    busPort: Number(busPort),
    hostname: hostname === '' ? undefined : hostname,
    role: flags.includes('slave') ? 'replica' : 'master',
    masterId: masterId === '-' ? undefined : masterId,
    isAsked: flags.includes('myself'),
    failing: flags.includes('fail') ? 'yes' : flags.includes('fail?') ? 'suspected' : 'no',
    isStranger: flags.includes('handshake') || flags.includes('noaddr'),
    configEpoch: Number(epoch),
    slots,
    migrating,
    importing,
  };
}

/** A member of the cluster, with what it tells of itself where it answers. */
export interface Member extends ClusterNode {
  readonly isReachable: boolean;
}

/** The cluster as its nodes describe it, all asked at about the same time. */
export interface Topology {
  readonly members: readonly Member[];
  /** Master of each slot; undefined where there is none. */
  readonly owners: readonly (string | undefined)[];
  /** Slots without a master which some take for that of another, who does not know of it: nobody would ever take them. */
  readonly lostSlots: readonly number[];
  /** The nodes that each which answers knows, with the epoch that it has heard of from them; all by id. */
  readonly acquaintances: ReadonlyMap<string, ReadonlyMap<string, number>>;
  /** All nodes that answer know the same nodes with the same slots. */
  readonly isAgreed: boolean;
}

/**
 * Puts the views of several nodes together. Of a node that answers its own word counts, as only it knows which slots it
 * moves; of two that claim a slot the later epoch counts, as in the cluster itself. The view of a node that the others do
 * not know, because it has left, is left out.
 */
export function combineViews(all: readonly (readonly ClusterNode[])[]): Topology {
  const [widest = []] = [...all].sort(
    (one, other) => servedSlots(other) - servedSlots(one) || other.length - one.length,
  );
  const views = all.filter((view) => {
    const asked = view.find(({ isAsked }) => isAsked);
    return widest.some(({ id, isStranger, isAsked }) => id === asked?.id && (isAsked || !isStranger));
  });
  const members = new Map<string, Member>();
  for (const view of views) {
    for (const node of view) {
      const known = members.get(node.id);
      if (node.isStranger && !node.isAsked) continue;
      if (node.isAsked) members.set(node.id, { ...node, isReachable: true, failing: known?.failing ?? 'no' });
      else if (!known) members.set(node.id, { ...node, isReachable: false });
      else if (severity(node) > severity(known)) members.set(node.id, { ...known, failing: node.failing });
    }
  }
  const owners: (string | undefined)[] = new Array<undefined>(SLOTS).fill(undefined);
  const byEpoch = [...members.values()].sort((one, other) => one.configEpoch - other.configEpoch);
  for (const { id, role, slots } of byEpoch) if (role === 'master') for (const slot of slots) owners[slot] = id;
  const lostSlots = owners.flatMap((owner, slot) =>
    owner === undefined && views.some((view) => view.some(({ slots }) => slots.includes(slot))) ? [slot] : [],
  );
  const acquaintances = new Map(
    views.map((view) => [
      view.find(({ isAsked }) => isAsked)?.id ?? '',
      new Map(view.filter(({ isStranger }) => !isStranger).map(({ id, configEpoch }) => [id, configEpoch])),
    ]),
  );
  const isAgreed = new Set(views.map(outline)).size === 1;
  return { members: [...members.values()], owners, lostSlots, acquaintances, isAgreed };
}

export function member(topology: Topology, id: string): Member | undefined {
  return topology.members.find((each) => each.id === id);
}

/** Masters that answer and that nobody holds for dead. */
export function healthyMasters({ members }: Topology): Member[] {
  return members.filter((node) => node.role === 'master' && isHealthy(node));
}

export function isHealthy({ isReachable, failing }: Member): boolean {
  return isReachable && failing !== 'yes';
}

export function replicasOf({ members }: Topology, masterId: string): Member[] {
  return members.filter((node) => node.masterId === masterId);
}

/** Slots by master, each list in ascending order; masters without a slot included. */
export function slotsByMaster({ members, owners }: Topology): Map<string, number[]> {
  const byMaster = new Map<string, number[]>();
  for (const { id, role } of members) if (role === 'master') byMaster.set(id, []);
  owners.forEach((id, slot) => {
    if (id !== undefined) byMaster.get(id)?.push(slot);
  });
  return byMaster;
}

/** `5461 slots: 0-5460` and the like are made of these. */
export function slotRanges(slots: readonly number[]): [from: number, to: number][] {
  const ranges: [number, number][] = [];
  for (const slot of slots) {
    const last = ranges.at(-1);
    if (last && last[1] === slot - 1) last[1] = slot;
    else ranges.push([slot, slot]);
  }
  return ranges;
}

/** For people: where it is, and its id as Redis shortens it. */
export function nodeName({ id, address }: Pick<ClusterNode, 'id' | 'address'>): string {
  return `${formatAddress(address)} (${id.slice(0, 8)})`;
}

function servedSlots(view: readonly ClusterNode[]): number {
  return view.reduce((sum, { slots }) => sum + slots.length, 0);
}

function severity({ failing }: ClusterNode): number {
  return ['no', 'suspected', 'yes'].indexOf(failing);
}

function outline(view: readonly ClusterNode[]): string {
  return view
    .map(({ id, masterId, slots }) => `${id} ${masterId ?? ''} ${slotRanges(slots).join()}`)
    .sort()
    .join('\n');
}

/** Why a change of the cluster cannot be made as it was asked for. */
export type RefusalReason =
  | 'unreachable'
  | 'access_denied'
  | 'not_cluster_enabled'
  | 'not_empty'
  | 'already_member'
  | 'unknown_node'
  | 'not_a_master'
  | 'too_few_masters'
  | 'slots_unserved';

/** The change was not begun. The message is for whoever asked. */
export class ClusterChangeRefused extends Error {
  constructor(
    readonly reason: RefusalReason,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/**
 * The change got no further for some time, because of the state that the cluster or one of its nodes is in. What was done
 * stays; the same change, asked for again, goes on from there.
 */
export class ClusterChangeStalled extends Error {}

/** A node did not answer a command in time, or cannot be reached. */
export class NodeUnreachable extends Error {}

/** There is no usable connection to a server. The message names the address and the reason. */
export class CannotConnect extends Error {}

/**
 * The server did not run the command: there was no connection, or it is not the master, or is still loading its data.
 * To send it again is safe.
 */
export class CommandNotRun extends Error {}

/** The connection broke while the reply was awaited: whether the command was run is not known. */
export class ReplyLost extends Error {}

import net from 'node:net';

const TIMEOUT_MS = 5000;

/**
 * Sends one command to the Redis on a port of 127.0.0.1, on a connection of its own. It speaks just enough of the protocol
 * (RESP2) to set servers up: replies that are a text or a number.
 *
 * @param {number} port
 * @param {string[]} command
 * @returns {Promise<string>} rejects with the server's own text when the reply is an error, and when there is none in time
 */
export function redisCommand(port, command) {
  return new Promise((resolve, reject) => {
    const socket = net.connect(port, '127.0.0.1');
    socket.setTimeout(TIMEOUT_MS, () =>
      socket.destroy(new Error(`${command.join(' ')} got no reply within ${TIMEOUT_MS} ms`)),
    );
    socket.on('error', reject);
    socket.on('close', () => reject(new Error(`${command.join(' ')} got no reply: connection closed`)));

    let received = Buffer.alloc(0);
    socket.on('data', (chunk) => {
      received = Buffer.concat([received, chunk]);
      const reply = readReply(received);
      if (reply === null) return;
      if (reply instanceof Error) reject(reply);
      else resolve(reply);
      socket.destroy();
    });
    const parts = command.map((part) => `$${Buffer.byteLength(part)}\r\n${part}\r\n`);
    socket.write(`*${command.length}\r\n${parts.join('')}`);
  });
}

/** @param {Buffer} bytes @returns {string | Error | null} null while the reply is not complete */
function readReply(bytes) {
  const lineEnd = bytes.indexOf('\r\n');
  if (lineEnd < 0) return null;
  const line = bytes.toString('utf8', 1, lineEnd);
  const kind = String.fromCharCode(bytes[0] ?? 0);
  if (kind === '+' || kind === ':') return line;
  if (kind === '-') return new Error(line);
  if (kind !== '$') return new Error(`a reply of the kind ${kind} is not understood here`);
  const length = Number(line);
  const end = lineEnd + 2 + length;
  return bytes.length < end + 2 ? null : bytes.toString('utf8', lineEnd + 2, end);
}

/**
 * Reads one field of the `name:value` lines that INFO and CLUSTER INFO answer.
 *
 * @param {string} info @param {string} field
 */
export function infoField(info, field) {
  return new RegExp(`^${field}:(.*?)\\r?$`, 'm').exec(info)?.[1];
}

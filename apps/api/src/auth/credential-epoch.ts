import { Injectable } from '@nestjs/common';
import { DataSource, type EntityManager } from 'typeorm';

/** How often credentials of each kind have ended. */
export interface Epochs {
  readonly sessions: string;
  readonly keys: string;
  /** The time by the database when it told this, in milliseconds since the epoch. */
  readonly toldAtMs: number;
}

/**
 * Counters in the database that rise whenever a session, or an API key, that was good may be good no longer. A node that
 * knows them unchanged may go on trusting what it has verified, at the price of one small query for all credentials.
 */
@Injectable()
export class CredentialEpoch {
  constructor(private readonly database: DataSource) {}

  async current(): Promise<Epochs> {
    const [row] = await this.database.query<Epochs[]>(
      'SELECT sessions, keys, extract(epoch FROM clock_timestamp())::float8 * 1000 AS "toldAtMs" FROM credential_epoch',
    );
    if (!row) throw new Error('credential_epoch has no row');
    return row;
  }

  /** To be called in the transaction that ends the credential. */
  async advance(transaction: EntityManager, kind: 'sessions' | 'keys'): Promise<void> {
    await transaction.query(`UPDATE credential_epoch SET ${kind} = ${kind} + 1`);
  }
}

import { Injectable } from '@nestjs/common';
import { DataSource, type EntityManager } from 'typeorm';

/**
 * A counter in the database that rises whenever a credential that was good may be good no longer. A node that knows the
 * counter unchanged may go on trusting what it has verified, at the price of one small query for all credentials.
 */
@Injectable()
export class CredentialEpoch {
  constructor(private readonly database: DataSource) {}

  async current(): Promise<string> {
    const [row] = await this.database.query<{ epoch: string }[]>('SELECT epoch FROM credential_epoch');
    if (!row) throw new Error('credential_epoch has no row');
    return row.epoch;
  }

  /** To be called in the transaction that ends the credential. */
  async advance(transaction: EntityManager): Promise<void> {
    await transaction.query('UPDATE credential_epoch SET epoch = epoch + 1');
  }
}

import { Client as Postgres } from 'pg';
import type { Service } from './service.js';

/** Asks the database of a service on real stores itself, for what no route tells or does. */
export async function query(
  { stores }: Service,
  text: string,
  values: readonly unknown[] = [],
): Promise<Record<string, unknown>[]> {
  const postgres = new Postgres({ connectionString: stores['DATABASE_URL'] });
  await postgres.connect();
  try {
    return (await postgres.query<Record<string, unknown>>(text, [...values])).rows;
  } finally {
    await postgres.end();
  }
}

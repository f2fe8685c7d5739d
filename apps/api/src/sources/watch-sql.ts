import { createHash } from 'node:crypto';
import { escapeIdentifier, escapeLiteral } from 'pg';
import { quoteTable } from './postgres-connection.js';
import type { PostgresSourceDefinition } from '@cache-system/contracts';

export const WATCH_SCHEMA = 'cache_system';

/** The names of what watches the table of a source. */
export interface WatchedTable {
  /** Quoted. */
  readonly table: string;
  /** Quoted. */
  readonly keyColumn: string;
  /** Of the objects that belong to it, and of the channel. */
  readonly identity: string;
  /** Quoted: where the trigger writes which keys have changed. */
  readonly changes: string;
}

/** A source behind a query has no table that could be watched. */
export class NotWatchable extends Error {
  constructor(source: string) {
    super(`the source ${source} has no table to watch`);
  }
}

/** @throws NotWatchable */
export function watchedTable({ name, postgres }: PostgresSourceDefinition): WatchedTable {
  const { table, key_column } = postgres;
  if (table === undefined || key_column === undefined) throw new NotWatchable(name);
  // A hash, as names of Postgres end after 63 bytes, and those of the configuration do not.
  const hash = createHash('sha256')
    .update(JSON.stringify([name, table, key_column]))
    .digest('hex')
    .slice(0, 16);
  const identity = `watch_${hash}`;
  return {
    table: quoteTable(table),
    keyColumn: escapeIdentifier(key_column),
    identity,
    changes: `${WATCH_SCHEMA}.${identity}`,
  };
}

/**
 * Statements that may be run again whatever is there already.
 *
 * A notification carries nothing: the keys are read from the table of changes. So there is one per transaction however
 * many rows it changes, no key is too long for one, and what is missed is found later in the same way.
 */
export function installSql({ table, identity, changes, keyColumn }: WatchedTable): string[] {
  const run = `EXECUTE FUNCTION ${WATCH_SCHEMA}.${identity}()`;
  return [
    `CREATE SCHEMA IF NOT EXISTS ${WATCH_SCHEMA}`,
    // `transaction` tells which rows a reader has not seen yet: sequence numbers appear out of order.
    `CREATE TABLE IF NOT EXISTS ${changes} (
       sequence bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
       transaction xid8 NOT NULL DEFAULT pg_current_xact_id(),
       changed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
       key text,
       everything boolean NOT NULL DEFAULT false,
       horizon xid8)`,
    `CREATE INDEX IF NOT EXISTS ${identity}_transaction ON ${changes} (transaction)`,
    `CREATE INDEX IF NOT EXISTS ${identity}_horizon ON ${changes} (changed_at) WHERE horizon IS NOT NULL`,
    // With the rights of its owner, as who writes to the table needs none to what is ours.
    `CREATE OR REPLACE FUNCTION ${WATCH_SCHEMA}.${identity}() RETURNS trigger LANGUAGE plpgsql
       SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS ${escapeLiteral(functionBody(identity, changes, keyColumn))}`,
    `REVOKE ALL ON FUNCTION ${WATCH_SCHEMA}.${identity}() FROM PUBLIC`,
    `CREATE OR REPLACE TRIGGER ${identity}_row AFTER INSERT OR UPDATE OR DELETE ON ${table} FOR EACH ROW ${run}`,
    `CREATE OR REPLACE TRIGGER ${identity}_all AFTER TRUNCATE ON ${table} FOR EACH STATEMENT ${run}`,
    // Also for what replication and restores write.
    `ALTER TABLE ${table} ENABLE ALWAYS TRIGGER ${identity}_row`,
    `ALTER TABLE ${table} ENABLE ALWAYS TRIGGER ${identity}_all`,
  ];
}

export function removeSql({ identity, changes }: WatchedTable): string[] {
  return [
    // With its triggers, whatever their table is called by now.
    `DROP FUNCTION IF EXISTS ${WATCH_SCHEMA}.${identity}() CASCADE`,
    `DROP TABLE IF EXISTS ${changes}`,
  ];
}

function functionBody(channel: string, changes: string, keyColumn: string): string {
  return `
BEGIN
  IF TG_OP = 'TRUNCATE' THEN
    INSERT INTO ${changes} (everything) VALUES (true);
  ELSE
    IF TG_OP <> 'INSERT' THEN
      INSERT INTO ${changes} (key) VALUES (OLD.${keyColumn}::text);
    END IF;
    IF TG_OP = 'INSERT' OR (TG_OP = 'UPDATE' AND NEW.${keyColumn}::text IS DISTINCT FROM OLD.${keyColumn}::text) THEN
      INSERT INTO ${changes} (key) VALUES (NEW.${keyColumn}::text);
    END IF;
  END IF;
  PERFORM pg_notify('${channel}', '');
  RETURN NULL;
END`;
}

/**
 * What has changed since `$1`, which is null or the snapshot of an earlier reading; `$2` is the table as text, `$3` how many
 * changes are looked at. Sequence numbers are given out in another order than transactions end in, so "after the last one
 * seen" would lose changes. What the earlier snapshot could not see, and this one can, is new: transactions that were
 * running then, and those that began later. That is exact, whatever their order.
 */
export function changesSql({ changes, identity }: WatchedTable): string {
  return `
    WITH triggers AS (
      SELECT count(*) = 2 AS installed, string_agg(concat(oid, '/', xmin), ' ' ORDER BY tgname) AS versions FROM pg_trigger
      WHERE tgrelid = to_regclass($2) AND tgname IN ('${identity}_row', '${identity}_all') AND tgenabled = 'A')
    SELECT pg_current_snapshot()::text AS snapshot,
      pg_snapshot_xmax(pg_current_snapshot())::text AS end,
      (SELECT installed FROM triggers) AS installed,
      (SELECT concat('${changes}'::regclass::oid, ' ', versions) FROM triggers) AS generation,
      count(*)::integer AS changes,
      COALESCE(bool_or(everything), false) AS everything,
      COALESCE(array_agg(DISTINCT key) FILTER (WHERE key IS NOT NULL), '{}') AS keys
    FROM (
      SELECT key, everything FROM ${changes}
      WHERE (transaction >= pg_snapshot_xmax($1::pg_snapshot)
          OR transaction = ANY (ARRAY(SELECT pg_snapshot_xip($1::pg_snapshot))))
        AND horizon IS NULL
      LIMIT $3
    ) AS changed`;
}

/**
 * Writes down up to where all transactions have ended, unless somebody did so within a tenth of `$1` seconds. When a change
 * was made does not tell when it could be seen: its transaction may have ended long after.
 */
export function markHorizonSql({ changes }: WatchedTable): string {
  return `
    INSERT INTO ${changes} (horizon) SELECT pg_snapshot_xmin(pg_current_snapshot()) WHERE NOT EXISTS (
      SELECT FROM ${changes} WHERE horizon IS NOT NULL AND changed_at > clock_timestamp() - make_interval(secs => $1) / 10)`;
}

/** Removes at most `$2` of the changes that everybody could see `$1` seconds ago. */
export function pruneSql({ changes }: WatchedTable): string {
  return `
    DELETE FROM ${changes} WHERE sequence IN (
      SELECT sequence FROM ${changes} WHERE transaction < (
        SELECT max(horizon::text::numeric)::text::xid8 FROM ${changes}
        WHERE horizon IS NOT NULL AND changed_at <= clock_timestamp() - make_interval(secs => $1))
      LIMIT $2)`;
}

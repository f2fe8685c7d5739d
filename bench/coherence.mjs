import { parseArgs } from 'node:util';
import { startPostgres } from '../tools/harness/postgres-process.mjs';
import { prepare } from '../tools/setup/prepare.mjs';
import { probe } from './coherence/probe.mjs';
import { writeReport } from './coherence/report.mjs';
import { runScenario } from './coherence/run-scenario.mjs';
import { STACKS } from './coherence/stacks.mjs';

/**
 * `npm run bench:coherence [-- --seconds 60 --stack redis --scenario 'Redis frozen']`: what clients see of each other's
 * changes while things fail, checked against what is promised, with the figures written to docs/benchmarks.md. Fails
 * where a promise is broken. Rows of scenarios that are not run stay as they are.
 */
const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '60' },
    rounds: { type: 'string', default: '500' },
    stack: { type: 'string', multiple: true },
    scenario: { type: 'string', multiple: true },
  },
});
const PROBE = 'propagation';

await prepare({ build: true });
/** @type {import('./coherence/report.mjs').Row[]} */
const rows = [];
let broken = 0;
const postgres = await startPostgres();
try {
  for (const [name, start] of Object.entries(STACKS)) {
    if (values.stack && !values.stack.includes(name)) continue;
    const stack = await start(postgres.url);
    try {
      const wanted = (/** @type {string} */ scenario) => !values.scenario || values.scenario.includes(scenario);
      if (wanted(PROBE)) {
        rows.push({ table: PROBE, cells: [name, ...(await probe(stack.nodes.processes, Number(values.rounds)))] });
      }
      for (const [scenario, fault] of Object.entries(stack.scenarios)) {
        if (!wanted(scenario)) continue;
        const { cells, violations } = await runScenario(stack, fault, Number(values.seconds) * 1000);
        console.log([name, scenario, ...cells].join('  '));
        if (violations !== '') console.error(violations);
        if (violations !== '') broken++;
        rows.push({ table: 'scenarios', cells: [name, scenario, values.seconds, ...cells] });
      }
    } finally {
      await stack.stop();
    }
  }
} finally {
  await postgres.stop();
}
writeReport(rows);
process.exit(broken === 0 ? 0 : 1);

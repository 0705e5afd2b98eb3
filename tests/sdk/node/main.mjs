// The life of payments through Stripe's own client for Node, unmodified. One line per scenario; exit code 1 when one
// is not as it should be. What it talks to is named by SDK_BASE, SDK_SECRET_KEY, SDK_PUBLISHABLE_KEY, SDK_ADMIN (the
// simulator's handles) and SDK_ACCOUNT; SDK_ONLY, a part of their names, leaves only some scenarios.
import { World } from './world.mjs';
import errors from './scenarios/errors.mjs';
import customers from './scenarios/customers.mjs';
import idempotency from './scenarios/idempotency.mjs';
import money from './scenarios/money.mjs';
import paging from './scenarios/paging.mjs';
import payments from './scenarios/payments.mjs';
import reading from './scenarios/reading.mjs';
import refunds from './scenarios/refunds.mjs';
import sessions from './scenarios/sessions.mjs';
import steps from './scenarios/steps.mjs';
import threeDSecure from './scenarios/three_d_secure.mjs';
import webhooks from './scenarios/webhooks.mjs';

// The last one moves the simulator's clock by days, which nobody else is to notice.
const all = {
  ...payments,
  ...steps,
  ...threeDSecure,
  ...refunds,
  ...customers,
  ...reading,
  ...sessions,
  ...errors,
  ...idempotency,
  ...webhooks,
  ...paging,
  ...money,
};

const world = new World();
const only = process.env.SDK_ONLY;

const failed = [];
for (const [name, scenario] of Object.entries(all)) {
  if (only && !name.includes(only)) {
    continue;
  }
  const begun = performance.now();
  try {
    await scenario(world);
    console.log(`ok       ${name} (${Math.round(performance.now() - begun)} ms)`);
  } catch (error) {
    failed.push(name);
    console.log(`FAILED   ${name}\n${error.stack}`);
  }
}
if (failed.length > 0) {
  console.log(`\n${failed.length} of ${Object.keys(all).length} scenarios failed:\n${failed.join('\n')}`);
  process.exit(1);
}
console.log(`\n${only ? 'the chosen' : `all ${Object.keys(all).length}`} scenarios are as they should be`);

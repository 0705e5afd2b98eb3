// Stripe payments through Commerce Layer's own client, unmodified. One line per scenario; exit code 1 when one is not as it should
// be. SDK_BASE (or the first argument) says where the service is, SDK_VERSION (or the second) which version of the client: 6 or 7.
import assert from 'node:assert/strict';
import { scenarios } from './scenarios.mjs';

const base = new URL(process.env.SDK_BASE ?? process.argv[2]);
const version = process.env.SDK_VERSION ?? process.argv[3] ?? '7';

// The client speaks https to a subdomain of its domain; its public interceptor sends what it wrote to the service instead.
function towards(request) {
  request.url = new URL(`${base.origin}${request.url.pathname}${request.url.search}`);
  return request;
}

const sdk = await import(`commercelayer-${version}`);
const connected = sdk.CommerceLayer({ organization: 'xRRkjDFafe', accessToken: process.env.SDK_KEY ?? 'cl-acme' });
connected.addRequestInterceptor(towards);
// In version 6 the resources are the client's, in version 7 each is exported by itself.
const client = version === '6' ? connected : sdk;
assert.ok(client.stripe_payments, `version ${version} has no Stripe payments`);

for (const [name, scenario] of Object.entries(scenarios)) {
  const begun = performance.now();
  try {
    await scenario(client);
    console.log(`ok       ${name} (${Math.round(performance.now() - begun)} ms)`);
  } catch (error) {
    console.log(`FAILED   ${name}\n${error.stack}\n${JSON.stringify(error.errors ?? [])}`);
    process.exitCode = 1;
  }
}

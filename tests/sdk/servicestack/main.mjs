// The checkout's door through ServiceStack's own client, unmodified. One line per scenario; exit code 1 when one is not as
// it should be. What it talks to is named by SDK_BASE, SDK_API_KEY and SDK_TOKEN.
import assert from 'node:assert/strict';
import { getResponseStatus, JsonApiClient, JsonServiceClient } from '@servicestack/client';

const COMPANY = '11111111-1111-1111-1111-111111111111';
const DOCUMENTED = '/payment/stripe/v1/checkout';

/** What ServiceStack generates for its clients, of the two operations of this door. */
class StripeCheckoutQueryResponse {
  constructor(init) {
    Object.assign(this, init);
  }
}
class StripeV1CreateCheckout {
  constructor(init) {
    Object.assign(this, init);
  }
  getTypeName() {
    return 'StripeV1CreateCheckout';
  }
  getMethod() {
    return 'POST';
  }
  createResponse() {
    return new StripeCheckoutQueryResponse();
  }
}
class GetStripeCheckoutV1CheckoutStatus extends StripeV1CreateCheckout {
  getTypeName() {
    return 'GetStripeCheckoutV1CheckoutStatus';
  }
}

function keyed(client) {
  client.headers.set('x-api-key', process.env.SDK_API_KEY);
  client.bearerToken = process.env.SDK_TOKEN;
  return client;
}

/** The clients that the package has: on `/api`, on `/json/reply` as it was for years, and without a content type. */
const clients = {
  '/api': () => keyed(new JsonServiceClient(process.env.SDK_BASE)),
  '/json/reply': () => keyed(new JsonServiceClient(process.env.SDK_BASE).useBasePath(null)),
  'JsonApiClient': () => keyed(JsonApiClient.create(process.env.SDK_BASE)),
};

function wanted(reference, more = {}) {
  return new StripeV1CreateCheckout({
    CompanyId: COMPANY,
    CountryCode: 'SE',
    Articles: [{ ArticleId: 1, ArticleTypeId: 0, Quantity: 2 }, { ArticleId: 2 }],
    InternalReferenceId: reference,
    ConfirmationUrl: 'https://shop.example/done',
    UiMode: 'hosted',
    ...more,
  });
}

/** What the client throws: it has no class of its own for that, but a status with the fields at fault. */
async function refused(promise) {
  let answer;
  try {
    answer = await promise;
  } catch (error) {
    const status = getResponseStatus(error);
    assert.ok(status?.errorCode, `no status: ${JSON.stringify(error)}`);
    return status;
  }
  return assert.fail(`an error was expected, and it was answered ${JSON.stringify(answer)}`);
}

function isOpened(opened) {
  assert.match(opened.SessionId, /^cs_/);
  assert.match(opened.Url, /^https?:/);
  assert.equal(opened.Status, 'open');
  assert.equal(opened.ClientSecret, null);
}

const scenarios = {
  async 'a checkout is opened on every route that a client takes'() {
    for (const [route, client] of Object.entries(clients)) {
      isOpened(await client().post(wanted(`route ${route}`)));
      isOpened(await client().send(wanted(`send ${route}`)));
      isOpened(await client().postToUrl(DOCUMENTED, wanted(`url ${route}`)));
      const { response, error } = await client().api(wanted(`api ${route}`));
      assert.equal(error, undefined);
      isOpened(response);
    }
  },

  async 'an embedded checkout has a secret and no address'() {
    const opened = await clients['/api']().post(wanted('embedded', { UiMode: 'embedded' }));
    assert.ok(opened.ClientSecret.startsWith(`${opened.SessionId}_secret_`));
    assert.equal(opened.Url, null);
  },

  async 'the status of a checkout is told, and of the one that it replaced'() {
    for (const [route, client] of Object.entries(clients)) {
      const [first, second] = [
        await client().post(wanted(`status ${route}`)),
        await client().post(wanted(`status ${route}`)),
      ];
      const ask = (it) => client().post(new GetStripeCheckoutV1CheckoutStatus({ CompanyId: COMPANY, SessionId: it.SessionId }));
      assert.equal((await ask(second)).Status, 'open');
      assert.equal((await ask(first)).Status, 'expired');
      const asked = { CompanyId: COMPANY, SessionId: second.SessionId };
      const told = await client().postToUrl(`${DOCUMENTED}/status`, new GetStripeCheckoutV1CheckoutStatus(asked));
      assert.equal(told.Status, 'open');
    }
  },

  async 'every field that is at fault is in the error'() {
    for (const [route, client] of Object.entries(clients)) {
      const wrong = () => wanted('', { CompanyId: 'no', UiMode: 'custom' });
      for (const post of [(it) => client().post(it), (it) => client().postToUrl(DOCUMENTED, it)]) {
        const status = await refused(post(wrong()));
        const fields = status.errors.map((it) => it.fieldName);
        assert.deepEqual(fields, ['CompanyId', 'InternalReferenceId', 'UiMode'], route);
        assert.ok(status.errors.every((it) => it.errorCode && it.message));
        assert.equal(status.message, status.errors[0].message);
      }
      const result = await client().api(wrong());
      assert.ok(result.failed && result.hasFieldError('UiMode'));
      assert.match(result.fieldErrorMessage('uiMode'), /hosted or embedded/);
    }
  },

  async 'other errors have their codes'() {
    const client = clients['/api'];
    const unknown = await refused(client().post(wanted('x', { Articles: [{ ArticleId: 99 }] })));
    assert.equal(unknown.errorCode, 'NotFound');
    const foreign = { CompanyId: '22222222-2222-2222-2222-222222222222' };
    assert.deepEqual(await refused(client().post(wanted('x', foreign))), unknown);
    const nobody = client();
    nobody.bearerToken = 'nobody';
    assert.equal((await refused(nobody.post(wanted('x')))).errorCode, 'Unauthorized');
    const get = await refused(client().get(wanted('x')));
    assert.equal(get.errorCode, 'MethodNotAllowed');
  },
};

const failed = [];
for (const [name, scenario] of Object.entries(scenarios)) {
  try {
    await scenario();
    console.log(`ok       ${name}`);
  } catch (error) {
    failed.push(name);
    console.log(`FAILED   ${name}\n${error.stack ?? JSON.stringify(error)}`);
  }
}
process.exit(failed.length > 0 ? 1 : 0);

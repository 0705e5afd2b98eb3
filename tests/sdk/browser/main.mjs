// A payer with a browser: checkouts opened at the checkout's door are paid, or not, on their page. One line per scenario;
// exit code 1 when one is not as it should be. What it talks to is named by SDK_BASE, SDK_API_KEY, SDK_TOKEN and SDK_ADMIN,
// the browser by SDK_BROWSER.
import assert from 'node:assert/strict';
import { control, fill, focus, follow, pay, type, words, World } from './world.mjs';

/** What is said beside the field that has the focus. */
async function complaint(tab) {
  await focus(tab);
  return tab.evaluate(() => {
    const field = document.activeElement;
    return [field.labels?.[0]?.innerText, document.getElementById(field.getAttribute('aria-describedby'))?.innerText];
  });
}

const scenarios = {
  async 'a declined card is said beside its field, another one pays, and the payer is in the shop again'(world) {
    const opened = await world.open('browser pays');
    await world.tab(async (tab) => {
      await tab.goto(opened.Url);
      const shown = await words(tab);
      for (const part of ['Pay SEK 600.00', 'SEK 500.00', 'SEK 100.00', 'Total']) {
        assert.ok(shown.includes(part), `${part} is not in ${shown}`);
      }
      // The style is that of the page: the policy lets it through.
      const colour = await tab.$eval('button.pay', (it) => getComputedStyle(it).backgroundColor);
      assert.equal(colour, 'rgb(20, 83, 45)');
      await pay(tab, '4000 0000 0000 0002');
      assert.deepEqual(await complaint(tab), ['Card number', 'Your card was declined.']);
      await pay(tab, '4242 4242 4242 4241');
      assert.deepEqual(await complaint(tab), ['Card number', 'Your card number is incorrect.']);
      await pay(tab, '4000 0000 0000 0069');
      assert.deepEqual(await complaint(tab), ['Expiry (MM / YY)', 'Your card has expired.']);
      assert.equal(await world.status(opened.SessionId), 'open');
      await pay(tab, '4242 4242 4242 4242');
      assert.equal(tab.url(), `${world.shop.url}/done?session=${opened.SessionId}`);
      assert.equal(await tab.title(), 'Shop /done');
      await tab.goto(opened.Url);
      assert.match(await words(tab), /SEK 600.00 is paid/);
      await follow(tab, 'link', 'Continue');
      assert.equal(tab.url(), `${world.shop.url}/done?session=${opened.SessionId}`);
    });
    assert.equal(await world.status(opened.SessionId), 'complete');
  },

  async 'the keyboard alone is enough'(world) {
    const opened = await world.open('browser keyboard');
    await world.tab(async (tab) => {
      await tab.goto(opened.Url);
      for (const text of ['ada@example.com', '4242424242424242', '1240', '123']) {
        await tab.keyboard.press('Tab');
        await tab.keyboard.type(text);
      }
      await Promise.all([tab.waitForNavigation(), tab.keyboard.press('Enter')]);
      assert.equal(await tab.title(), 'Shop /done');
    });
    assert.equal(await world.status(opened.SessionId), 'complete');
  },

  async 'a bank that asks is answered on its page, and a payer who fails there may try again'(world) {
    const opened = await world.open('browser 3-D Secure');
    await world.tab(async (tab) => {
      await tab.goto(opened.Url);
      await pay(tab, '4000 0000 0000 3220');
      assert.match(await words(tab), /Approve the payment of SEK 600.00\?/);
      await follow(tab, 'button', 'Fail authentication');
      assert.equal(tab.url(), opened.Url);
      const [field, said] = await complaint(tab);
      assert.equal(field, 'Card number');
      assert.match(said, /unable to authenticate/);
      assert.equal(await world.status(opened.SessionId), 'open');
      await pay(tab, '4000 0000 0000 3220');
      await follow(tab, 'button', 'Complete authentication');
      assert.equal(tab.url(), `${world.shop.url}/done?session=${opened.SessionId}`);
    });
    assert.equal(await world.status(opened.SessionId), 'complete');
  },

  async 'a payer who goes back finds the shop, and nothing is paid'(world) {
    const opened = await world.open('browser cancels');
    await world.tab(async (tab) => {
      await tab.goto(opened.Url);
      await follow(tab, 'link', 'Cancel and go back');
      assert.equal(await tab.title(), 'Shop /back');
    });
    assert.equal(await world.status(opened.SessionId), 'open');
  },

  async 'a page that another checkout has replaced cannot be paid any more'(world) {
    const first = await world.open('browser twice');
    await world.tab(async (tab) => {
      await tab.goto(first.Url);
      await type(tab, 'Card number', '4242 4242 4242 4242');
      const second = await world.open('browser twice');
      await pay(tab, '4242 4242 4242 4242');
      assert.match(await words(tab), /This checkout has expired\s+Nothing was paid/);
      assert.equal(await tab.$('form'), null);
      await tab.goto(first.Url);
      assert.match(await words(tab), /This checkout has expired/);
      await follow(tab, 'link', 'Back to the shop');
      assert.equal(await tab.title(), 'Shop /back');
      assert.equal(await world.status(first.SessionId), 'expired');
      assert.equal(await world.status(second.SessionId), 'open');
    });
  },

  async 'an embedded checkout is paid within the page of the shop'(world) {
    const opened = await world.open('browser embedded', { UiMode: 'embedded', CancelUrl: undefined });
    assert.equal(opened.Url, null);
    const embedding = new URL(`${world.shop.url}/embedding`);
    embedding.searchParams.set('frame', world.frame(opened.ClientSecret));
    await world.tab(async (tab) => {
      const inside = () => tab.waitForFrame((it) => it.url().includes('/_sim/'));
      await tab.goto(embedding.href);
      const frame = await inside();
      await fill(frame, '4000 0000 0000 0002');
      await (await control(frame, 'button', 'Pay SEK 600.00')).click();
      await frame.waitForSelector('#number-error');
      await fill(frame, '4242 4242 4242 4242');
      await (await control(frame, 'button', 'Pay SEK 600.00')).click();
      const on = await control(frame, 'link', 'Continue');
      assert.match(await words(frame), /SEK 600.00 is paid/);
      await Promise.all([tab.waitForNavigation(), on.click()]);
      assert.equal(tab.url(), `${world.shop.url}/done?session=${opened.SessionId}`);
    });
    assert.equal(await world.status(opened.SessionId), 'complete');
  },

  async 'a hosted checkout is shown in no frame'(world) {
    const opened = await world.open('browser framed');
    const embedding = new URL(`${world.shop.url}/embedding`);
    embedding.searchParams.set('frame', opened.Url);
    const tab = await world.browser.newPage();
    const refused = new Promise((resolve) => tab.on('console', (said) => resolve(said.text())));
    await tab.goto(embedding.href);
    assert.match(await refused, /frame-ancestors 'none'/);
    await tab.close();
  },
};

const world = await World.start();
const failed = [];
for (const [name, scenario] of Object.entries(scenarios)) {
  if (!name.includes(process.env.SDK_ONLY ?? '')) {
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
await world.stop();
process.exit(failed.length > 0 ? 1 : 0);

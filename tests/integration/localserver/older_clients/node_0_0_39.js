// One round of everything with the client @openiap/nodeapi 0.0.39.
// node node_0_0_39.js <folder with node_modules> <url with user and password> <tag>
const assert = require("node:assert");
const crypto = require("node:crypto");
const fs = require("node:fs");
const os = require("node:os");
const path = require("node:path");

const [folder, url, tag] = process.argv.slice(2);
const { openiap } = require(require.resolve("@openiap/nodeapi", { paths: [folder] }));

async function main() {
  const client = new openiap(url);
  client.allowconnectgiveup = true;
  const user = await client.connect();
  assert.ok(user.username);

  const wiq = `js-${tag}`;
  const queue = await client.AddWorkItemQueue({
    workitemqueue: { name: wiq, maxretries: 3, retrydelay: 0, initialdelay: 0 },
  });
  assert.ok(queue._id);
  const work = fs.mkdtempSync(path.join(os.tmpdir(), "older-"));
  const data = crypto.randomBytes(700000);
  fs.writeFileSync(path.join(work, "scan.bin"), data);

  const uploaded = await client.UploadFile({ filename: path.join(work, "scan.bin") });
  assert.ok(uploaded.id);
  fs.mkdirSync(path.join(work, "out"));
  await client.DownloadFile({ id: uploaded.id, folder: path.join(work, "out") });
  const [stored] = await client.Query({ collectionname: "fs.files", query: { _id: uploaded.id } });
  assert.strictEqual(stored.length, data.length);
  assert.ok(fs.readFileSync(path.join(work, "out", "scan.bin")).equals(data));

  const pushed = await client.PushWorkitem({ wiq, name: "first", payload: { n: 1 } });
  assert.strictEqual(pushed.state, "new");
  const many = await client.PushWorkitems({
    wiq,
    items: [{ name: "second", payload: JSON.stringify({ n: 2 }) }],
  });
  assert.strictEqual(many.length, 1);
  const popped = await client.PopWorkitem({ wiq });
  assert.strictEqual(popped._id, pushed._id);
  popped.state = "retry";
  popped.errormessage = "again";
  const again = await client.UpdateWorkitem({ workitem: popped });
  assert.strictEqual(again.retries, 1);
  for (let count = 0; count < 2; count++) {
    const item = await client.PopWorkitem({ wiq });
    item.state = "successful";
    assert.strictEqual((await client.UpdateWorkitem({ workitem: item })).state, "successful");
    if (count === 0) await client.DeleteWorkitem({ _id: item._id });
  }
  assert.ok(!(await client.PopWorkitem({ wiq })));

  const collectionname = `jsthings_${tag}`;
  let seen;
  const watched = new Promise((resolve) => (seen = resolve));
  await client.Watch({ collectionname, paths: [] }, (operation, document) => seen(document));
  const made = await client.InsertOne({ collectionname, item: { x: 1 } });
  assert.strictEqual((await watched).x, 1);
  await client.UpdateDocument({ collectionname, query: { x: 1 }, document: { $set: { y: 2, z: "two" } } });
  const found = await client.Query({ collectionname, query: { x: 1 }, orderby: { x: -1 } });
  assert.strictEqual(found[0].y, 2);
  assert.strictEqual(await client.Count({ collectionname, query: {} }), 1);
  const distinct = await client.Distinct({ collectionname, field: "z", query: {} });
  assert.deepStrictEqual([...distinct], ["two"]);
  assert.strictEqual(await client.DeleteOne({ collectionname, id: made._id }), 1);

  await client.RegisterQueue({ queuename: `js-service-${tag}` }, async (msg, payload) => {
    return { echo: payload.q };
  });
  const answer = await client.QueueMessage(
    { queuename: `js-service-${tag}`, data: { q: 42 } },
    true
  );
  assert.strictEqual(answer.echo, 42);

  await assert.rejects(client.PopWorkitem({ wiq: "nowhere" }), (error) =>
    String(error.message ?? error).includes("Work item queue not found nowhere")
  );
  await assert.rejects(client.GetAgentPods({ id: "x" }));
  await client.DeleteWorkItemQueue({ wiq, purge: true });
  client.Close();
}

const deadline = setTimeout(() => {
  console.error("no end after 90 seconds");
  process.exit(1);
}, 90000);
main().then(
  () => process.exit(0),
  (error) => {
    console.error(error);
    clearTimeout(deadline);
    process.exit(1);
  }
);

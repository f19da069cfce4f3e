// One task from creation to completion, through Twilio's official SDK for Node.
// Arguments: base URL, account SID, auth token, "keep" or "default". Writes one line of JSON: what it saw on the way.
// It runs with every major version since 3. Versions 3 and 4 ask for "Connection: close", though the agent would keep
// the connection; with "keep" they ask to keep it. Webhooks are validated by the SDK.
const http = require("http");
const twilio = require("twilio");

// Returns a server on loopback, and what its webhooks were: the kind, and whether the SDK's validator takes them.
async function receive(authToken) {
  const webhooks = [];
  let port = 0;
  const server = http.createServer((request, response) => {
    const chunks = [];
    request.on("data", (chunk) => chunks.push(chunk));
    request.on("end", () => {
      const url = `http://127.0.0.1:${port}${request.url}`;
      const signature = request.headers["x-twilio-signature"];
      const body = Buffer.concat(chunks).toString();
      const kind = request.url.split("?")[0].slice(1);
      const valid =
        kind === "stream"
          ? twilio.validateRequestWithBody(authToken, signature, url, body)
          : twilio.validateRequest(authToken, signature, url, Object.fromEntries(new URLSearchParams(body)));
      webhooks.push({ kind, valid, authorization: request.headers.authorization || null });
      response.writeHead(200, { "Content-Type": "application/json" });
      response.end("{}");
    });
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  port = server.address().port;
  return { server, webhooks, url: `http://desk:pa%40ss@127.0.0.1:${port}` };
}

async function main(baseUrl, accountSid, authToken, connection) {
  const { server, webhooks, url } = await receive(authToken);
  const client = twilio(accountSid, authToken);
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  client.httpClient.axios.defaults.httpAgent = agent;
  if (connection === "keep") {
    const request = client.httpClient.request.bind(client.httpClient);
    client.httpClient.request = (options) => request({ ...options, forever: true });
  }
  client.taskrouter.baseUrl = baseUrl;
  client.events.baseUrl = baseUrl;
  const connections = new Set();
  agent.on("free", (socket) => connections.add(socket));
  const workspaces = client.taskrouter.v1.workspaces;
  const workspace = workspaces((await workspaces.create({ friendlyName: "Node", eventCallbackUrl: `${url}/events` })).sid);
  const sink = await client.events.v1.sinks.create({
    description: "Node",
    sinkType: "webhook",
    sinkConfiguration: { destination: `${url}/stream?of=node`, method: "POST", batch_events: true },
  });
  await client.events.v1.subscriptions.create({
    description: "Node",
    sinkSid: sink.sid,
    types: [{ type: "com.twilio.taskrouter.task.created", schema_version: 4 }],
  });
  const available = (await workspace.activities.list({ available: "true" }))[0];
  const queue = await workspace.taskQueues.create({ friendlyName: "Everybody", targetWorkers: 'languages HAS "en"' });
  await workspace.workflows.create({
    friendlyName: "Main",
    assignmentCallbackUrl: `${url}/assignment?of=node`,
    configuration: JSON.stringify({ task_routing: { filters: [], default_filter: { queue: queue.sid } } }),
  });
  await workspace.workers.create({
    friendlyName: "dana",
    activitySid: available.sid,
    attributes: JSON.stringify({ languages: ["en"] }),
  });
  const seen = [];
  const task = workspace.tasks((await workspace.tasks.create({ attributes: '{"from":"+14155550100"}' })).sid);
  const look = async () => seen.push((await task.fetch()).assignmentStatus);
  await look();
  const [reservation] = await task.reservations.list();
  await task.reservations(reservation.sid).update({ reservationStatus: "accepted" });
  await look();
  await task.update({ attributes: '{"from":"+14155550100","case":"K-9"}' });
  await task.update({ assignmentStatus: "wrapping", reason: "hung up" });
  await look();
  const refused = await task.update({ assignmentStatus: "canceled", reason: "too late" }).catch((error) => error);
  await task.update({ assignmentStatus: "completed", reason: "solved" });
  await look();
  const completed = await task.fetch();
  const events = (await workspace.events.list({ taskSid: completed.sid })).map((event) => event.eventType);
  while (!["events", "assignment", "stream"].every((kind) => webhooks.some((webhook) => webhook.kind === kind))) {
    await new Promise((resolve) => server.once("request", (_, response) => response.once("finish", resolve)));
  }
  await new Promise((resolve) => server.close(resolve));
  agent.destroy();
  return {
    webhooks,
    connections: connections.size,
    seen,
    refused: { status: refused.status, code: refused.code },
    reason: completed.reason,
    attributes: completed.attributes,
    created: completed.dateCreated.toISOString(),
    worker: reservation.workerName,
    events,
  };
}

main(...process.argv.slice(2)).then(
  (saw) => console.log(JSON.stringify(saw)),
  (error) => {
    console.error(error);
    process.exitCode = 1;
  },
);

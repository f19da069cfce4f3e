// One task from creation to completion, through Twilio's official SDK for Node.
// Arguments: base URL, account SID, auth token. Writes one line of JSON: what it saw on the way.
const twilio = require("twilio");

async function main(baseUrl, accountSid, authToken) {
  const client = twilio(accountSid, authToken);
  client.taskrouter.baseUrl = baseUrl;
  const workspaces = client.taskrouter.v1.workspaces;
  const workspace = workspaces((await workspaces.create({ friendlyName: "Node" })).sid);
  const available = (await workspace.activities.list({ available: "true" }))[0];
  const queue = await workspace.taskQueues.create({ friendlyName: "Everybody", targetWorkers: 'languages HAS "en"' });
  await workspace.workflows.create({
    friendlyName: "Main",
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
  return {
    seen,
    refused: { status: refused.status, code: refused.code },
    reason: completed.reason,
    attributes: completed.attributes,
    created: completed.dateCreated.toISOString(),
    worker: reservation.workerName,
    events: (await workspace.events.list({ taskSid: completed.sid })).map((event) => event.eventType),
  };
}

main(...process.argv.slice(2)).then(
  (saw) => console.log(JSON.stringify(saw)),
  (error) => {
    console.error(error);
    process.exitCode = 1;
  },
);

// The default instruction and nothing else: the Fallback Assignment Callback URL for the case that the service as a
// whole cannot be reached. A Twilio Function; `.protected` in its name lets Twilio check the signature of who calls it.
// It says what ENRICH_DEFAULT_INSTRUCTION=auto says: a call that waits in <Enqueue>, and work that Flex sets up, is left
// to the one who handles it; everything else is accepted. What it answered is enriched late: the service finds the
// reservation over REST when it is back.

const HANDLED_ELSEWHERE = ['call_sid', 'flexInteractionSid'];

exports.handler = (context, event, callback) => {
  const text = String(event.TaskAttributes || '');
  const attributes = parsed(text);
  // What cannot be read is searched for the words: leaving too much to others does less harm than accepting too much.
  const holds = (key) => (attributes ? Boolean(attributes[key]) : text.includes(key));
  callback(null, HANDLED_ELSEWHERE.some(holds) ? {} : { instruction: 'accept' });
};

// The attributes as an object; undefined where they are none.
function parsed(text) {
  try {
    const value = JSON.parse(text);
    return value && typeof value === 'object' && !Array.isArray(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

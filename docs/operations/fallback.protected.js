// A Twilio Function for the Fallback Assignment Callback URL, for the case that the whole service is unreachable. It
// answers with the default instruction. `.protected` in the name makes Twilio verify the signature of each request.
// It implements ENRICH_DEFAULT_INSTRUCTION=auto: calls that wait in <Enqueue>, and work that Flex sets up, are
// deferred; everything else is accepted. When the service is back, it finds these reservations over REST and enriches
// them late.

const HANDLED_ELSEWHERE = ['call_sid', 'flexInteractionSid'];

exports.handler = (context, event, callback) => {
  const text = String(event.TaskAttributes || '');
  const attributes = parsed(text);
  // Search unreadable attributes as text: to defer too often does less harm than to accept too often.
  const holds = (key) => (attributes ? Boolean(attributes[key]) : text.includes(key));
  callback(null, HANDLED_ELSEWHERE.some(holds) ? {} : { instruction: 'accept' });
};

// Return the attributes as an object, or undefined if they are not one.
function parsed(text) {
  try {
    const value = JSON.parse(text);
    return value && typeof value === 'object' && !Array.isArray(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

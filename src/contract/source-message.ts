/** Where a request came from: the Pub/Sub message as it was first delivered. Plain JSON, kept in workflow inputs. */
export interface SourceMessage {
  readonly messageId: string;
  /** RFC 3339, UTC. */
  readonly publishTime: string;
  readonly orderingKey: string | null;
  readonly attributes: Readonly<Record<string, string>>;
  /** The body. Strict UTF-8 without a BOM, so that the text gives the bytes back exactly. */
  readonly body: string;
}

/** W3C trace context: as Google's publisher clients send it, else under the standard's own name; undefined without. */
export function traceparentOf(attributes: Readonly<Record<string, string>>): string | undefined {
  return attributes['googclient_traceparent'] ?? attributes['traceparent'];
}

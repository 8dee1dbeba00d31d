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

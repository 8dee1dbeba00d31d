/** The parsed request: what a message says after defaults, before anything is stored. */
export const MODALITIES = ['text', 'audio', 'video', 'images'] as const;
export type Modality = (typeof MODALITIES)[number];

/** Plain JSON: it is the workflow's input, so it is kept in histories and must stay additive. */
export interface ContentRequest {
  /** Canonical UUID, lower case with hyphens: request_id, else UUIDv5 of correlation_id. */
  readonly rowId: string;
  /** 1..64 code points; the canonical request_id when the message had none. */
  readonly correlationId: string;
  /** 1..100 code points. */
  readonly studentId: string;
  /** student_query, else topic; 1..500 code points, as sent. */
  readonly topic: string;
  /** As sent, or the decimal text of 1..12. */
  readonly gradeLevel: string | null;
  readonly learningObjective: string | null;
  readonly durationMinutes: number | null;
  readonly organizationId: string | null;
  readonly interest: string | null;
  /** Recorded, never compared. */
  readonly environment: string | null;
  readonly requestedModalities: readonly Modality[];
  readonly preferredModality: Modality;
}

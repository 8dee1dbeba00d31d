import { createHash } from 'node:crypto';
import type { ContentRequest } from './request.ts';

/**
 * The content of a request: lower-case hex SHA-256 of its canonical JSON after defaults. Two messages for one row
 * are duplicates when it is equal and a conflict when it is not.
 *
 * Both identities are in it: the same row id under another correlation_id is another content. Environment is not: it
 * is recorded, never compared. Modalities are a set, so their order says nothing and they are sorted.
 *
 * The form is stored in rows and memos. Any change of it (a key, an order) turns redeliveries of old messages into
 * conflicts; a test pins the hash of one request.
 */
export function contentHash(request: ContentRequest): string {
  const canonical = JSON.stringify({
    rowId: request.rowId,
    correlationId: request.correlationId,
    studentId: request.studentId,
    topic: request.topic,
    gradeLevel: request.gradeLevel,
    learningObjective: request.learningObjective,
    durationMinutes: request.durationMinutes,
    organizationId: request.organizationId,
    interest: request.interest,
    requestedModalities: [...new Set(request.requestedModalities)].sort(),
    preferredModality: request.preferredModality,
  });
  return createHash('sha256').update(canonical, 'utf8').digest('hex');
}

/** What was found when something was looked at: it is well, it is worth knowing, or it must be mended. */
export interface Finding {
  readonly level: 'ok' | 'note' | 'fault'
  /** What was looked at; where it is one, the variable that names it. */
  readonly subject: string
  readonly says: string
  /** What to do. Every fault has one. */
  readonly mend?: string
}

/** Makes the findings about one subject. */
export function findingsOf(subject: string) {
  return {
    ok: (says: string): Finding => ({ level: 'ok', subject, says }),
    note: (says: string, mend?: string): Finding => ({
      level: 'note',
      subject,
      says,
      ...(mend !== undefined && { mend }),
    }),
    fault: (says: string, mend: string): Finding => ({ level: 'fault', subject, says, mend }),
  }
}

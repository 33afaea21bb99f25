"""A small pack of its own for tests: chains, caps, relief, recurrences, computed clocks, repeal."""

from __future__ import annotations

from playbooks.law import Law, assemble, parse_pack

RECIPIENT = "{role: zz.authority, kind: authority, name: {en: Authority}}"

CHAIN = f"""
schema: 1
instrument:
  id: zz-chain
  jurisdiction: EU
  title: {{en: Chain act}}
  short: {{en: Chain act}}
  citation: ''
  status: in_force
  in_force_from: 2026-01-01
  version: '7'
  checked_on: 2026-11-22
  forum: {{region: eea, time_zone: Europe/Brussels, calendar: BE}}
  sources: [made up for tests]
  confidence: high
definitions:
  common: &common
    who: {{en: Financial entity}}
    incident: {{en: Major incident}}
    bound: "'financial_entity' in facts.roles"
    trigger: facts.serious_incident
    recipients: [{RECIPIENT}]
    contents:
      basis: listed
      items:
        - {{id: what, text: {{en: What}}}}
        - {{id: late, when: facts.notified_in_time == false, text: {{en: Why late}}}}
    confidence: high
rules:
  - <<: *common
    id: zz-initial
    article: '1'
    stage: initial
    clock: {{event: classified}}
    period:
      amount: 4
      unit: hours
      family: dora-2025-301
      cap: {{amount: 24, unit: hours, event: aware, dropped_if_start_after: true}}
      rollover: {{at: '12:00', not_for: "'bank' in facts.roles"}}
  - <<: *common
    id: zz-intermediate
    article: '2'
    stage: intermediate
    clock: {{after: [zz-initial], fallbacks: [initial_submitted]}}
    period:
      amount: 72
      unit: hours
      family: dora-2025-301
      rollover: {{at: '12:00', not_for: "'bank' in facts.roles"}}
  - <<: *common
    id: zz-final
    article: '3'
    stage: final
    clock: {{after: [zz-intermediate]}}
    period: {{amount: 1, unit: months, family: dora-2025-301, rollover: {{at: '12:00'}}}}
  - <<: *common
    id: zz-declaration
    article: '4'
    stage: update
    clock: {{end_of: zz-final}}
    period: {{amount: 3, unit: business_days}}
  - <<: *common
    id: zz-every-two-hours
    article: '5'
    stage: update
    clock: {{event: discovered}}
    period: {{recurrence: {{amount: 2, unit: hours, until_event: handled}}}}
  - <<: *common
    id: zz-year-end
    article: '6'
    stage: log
    clock: {{event: year_end}}
    period: {{amount: 60, unit: calendar_days}}
  - <<: *common
    id: zz-old-law
    article: '7'
    in_force_from: 2026-01-01
    in_force_to: 2026-06-30
    stage: initial
    clock: {{event: aware}}
    period: {{amount: 10, unit: hours}}
  - <<: *common
    id: zz-proposed
    article: '8'
    status: proposed
    stage: initial
    clock: {{event: aware}}
    period: {{amount: 96, unit: hours}}
  - <<: *common
    id: zz-yardstick
    article: '9'
    stage: initial
    clock: {{event: aware}}
    promptness: prompt
    period: {{yardstick: {{amount_min: 3, amount_max: 5, unit: calendar_days, source: guideline}}}}
  - <<: *common
    id: zz-own-reminder
    article: '10'
    stage: initial
    clock: {{event: aware}}
    promptness: prompt
    reminder: PT30M
  - <<: *common
    id: zz-standing
    article: '11'
    occasion: standing
    stage: update
    clock: {{event: contract_event}}
    period: {{fixed_date: '01-15', recurrence: {{words: yearly}}}}
"""


def chain() -> Law:
    """The pack as a law of its own."""
    return assemble([parse_pack(CHAIN, name="chain.yaml")])

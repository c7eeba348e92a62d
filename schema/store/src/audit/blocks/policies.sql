-- Blocks that are not priced by the policy of their template.
SELECT b.hash AS subject, b.policy_id AS stored, t.policy_id AS computed
FROM blocks b
JOIN templates t ON t.id = b.template_id
WHERE t.policy_id IS NOT NULL AND b.policy_id <> t.policy_id

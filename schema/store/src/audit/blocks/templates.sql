-- Blocks that are not what their template says.
SELECT b.hash AS subject, b.reward AS stored, t.reward AS computed
FROM blocks b
JOIN templates t ON t.id = b.template_id
WHERE b.reward <> t.reward OR b.height <> t.height OR b.difficulty <> t.difficulty

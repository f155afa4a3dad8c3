<?php

// What both session pages show: who is logged in and what was noted. Used inside of a function with these variables.

/** @var ?string $user @var list<string> $notes @var list<string> $notices */
$item = static fn (string $text): string => '<li>' . htmlspecialchars($text) . '</li>';
$form = static fn (string $field): string
    => "<form method='post'><input id='$field' name='$field'><button id='save'>Save</button></form>";

return '<!doctype html><title>Notes</title>'
    . ($user === null ? $form('user') : '<p>Logged in as <b id="who">' . htmlspecialchars($user) . '</b></p>' . $form('note'))
    . '<ul id="notices">' . implode('', array_map($item, $notices)) . '</ul>'
    . '<ul id="notes">' . implode('', array_map($item, $notes)) . '</ul>';

<?php
// The page that ships: a counter in the session, and who answered. Your own site goes into this folder instead.

declare(strict_types=1);

require __DIR__ . '/members.php';

session_start();
$_SESSION['counter'] = ($_SESSION['counter'] ?? 0) + 1;
$answer = [
    'node' => gethostname(),
    'balancer' => $_SERVER['HTTP_X_BALANCER'] ?? null,
    'counter' => $_SESSION['counter'],
    'session' => substr(session_id(), 0, 8),
];

header('Cache-Control: no-store');
if (str_contains($_SERVER['HTTP_ACCEPT'] ?? '', 'application/json')) {
    header('Content-Type: application/json');
    echo json_encode($answer), "\n";
    return;
}
header("Content-Security-Policy: default-src 'self'");
$members = members();
$text = static fn (string|int|null $value): string => htmlspecialchars((string) $value);
?>
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title><?= $text($answer['counter']) ?> · php-cluster</title>
<link rel="icon" href="icon.svg">
<link rel="stylesheet" href="style.css">
<script src="page.js" defer></script>
</head>
<body>
<main>
  <header>
    <p class="eyebrow">Your session, on every node</p>
    <p class="counter" id="counter" aria-live="polite"><?= $text($answer['counter']) ?></p>
    <p class="session">session <code id="session"><?= $text($answer['session']) ?></code></p>
  </header>

  <ol class="path" aria-label="The way of this answer">
    <li><span>balancer</span><strong id="balancer"><?= $text($answer['balancer'] ?? 'none') ?></strong></li>
    <li><span>node</span><strong id="node"><?= $text($answer['node']) ?></strong></li>
  </ol>

  <form method="get"><button id="count" type="submit">Count once more</button></form>

  <section aria-labelledby="members-title">
    <h2 id="members-title">Members, as the balancer sees them now</h2>
    <ul class="members" id="members">
<?php foreach ($members as $name => $state): ?>
      <li data-name="<?= $text($name) ?>" data-state="<?= $text($state) ?>"<?= $name === $answer['node'] ? ' class="answered"' : '' ?>>
        <strong><?= $text($name) ?></strong> <span><?= $text($state) ?></span>
      </li>
<?php endforeach ?>
    </ul>
<?php if ($members === []): ?>
    <p class="alone">No balancer answers: this page is served by <?= $text($answer['node']) ?> alone.</p>
<?php endif ?>
  </section>

  <footer>Take a machine away and go on counting: <code>scripts/lab/power-off lb1</code></footer>
</main>
</body>
</html>

<?php
// Parses every PHP file below the current folder without running it, and names those that do not compile.
// Not those of libraries (folders named `vendor`): they ship files for other versions of PHP and never load them here.

declare(strict_types=1);

$wanted = new RecursiveCallbackFilterIterator(
    new RecursiveDirectoryIterator('.', FilesystemIterator::SKIP_DOTS),
    static fn (SplFileInfo $entry): bool => $entry->getFilename() !== 'vendor' || !$entry->isDir(),
);
$broken = 0;
foreach (new RecursiveIteratorIterator($wanted) as $path => $entry) {
    if ($entry->getExtension() !== 'php' || !$entry->isFile()) {
        continue;
    }
    try {
        token_get_all((string) file_get_contents($path), TOKEN_PARSE);
    } catch (ParseError $problem) {
        $broken++;
        echo substr($path, 2), " line {$problem->getLine()}: {$problem->getMessage()}\n";
    }
}
exit($broken > 0 ? 1 : 0);

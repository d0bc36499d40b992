// Puts a counter into each basic block of a TypeScript file, for the coverage that guides fuzzing.
import ts from 'typescript';

const { factory } = ts;

/** vexitCounts[n]++ */
function count(n) {
  return factory.createPostfixIncrement(
    factory.createElementAccessExpression(factory.createIdentifier('vexitCounts'), n),
  );
}

const LOGICAL = new Set([
  ts.SyntaxKind.AmpersandAmpersandToken,
  ts.SyntaxKind.BarBarToken,
  ts.SyntaxKind.QuestionQuestionToken,
]);

/**
 * JavaScript of a file with counters.
 * @param next takes the line of a block and returns its number
 */
export function addCounters(text, fileName, next) {
  const transformer = (context) => (source) => {
    const number = (node) =>
      next(source.getLineAndCharacterOfPosition(node.getStart(source)).line + 1);
    const counted = (node) => factory.createExpressionStatement(count(number(node)));
    const inBlock = (node, visited) =>
      ts.isBlock(visited)
        ? factory.updateBlock(visited, [counted(node), ...visited.statements])
        : factory.createBlock([counted(node), visited], true);
    const inExpression = (node, visited) =>
      factory.createParenthesizedExpression(
        factory.createComma(count(number(node)), factory.createParenthesizedExpression(visited)),
      );
    const visit = (node) => {
      // Values of enums stay constants; types have no code.
      if (ts.isEnumDeclaration(node) || ts.isTypeNode(node)) return node;
      const made = ts.visitEachChild(node, visit, context);
      if (ts.isIfStatement(made)) {
        return factory.updateIfStatement(
          made,
          made.expression,
          inBlock(node.thenStatement, made.thenStatement),
          made.elseStatement && inBlock(node.elseStatement, made.elseStatement),
        );
      }
      if (ts.isForStatement(made)) {
        const { initializer, condition, incrementor, statement } = made;
        const body = inBlock(node.statement, statement);
        return factory.updateForStatement(made, initializer, condition, incrementor, body);
      }
      if (ts.isForOfStatement(made)) {
        const { awaitModifier, initializer, expression, statement } = made;
        const body = inBlock(node.statement, statement);
        return factory.updateForOfStatement(made, awaitModifier, initializer, expression, body);
      }
      if (ts.isWhileStatement(made)) {
        const body = inBlock(node.statement, made.statement);
        return factory.updateWhileStatement(made, made.expression, body);
      }
      if (ts.isDoStatement(made)) {
        const body = inBlock(node.statement, made.statement);
        return factory.updateDoStatement(made, body, made.expression);
      }
      if (ts.isCaseClause(made)) {
        const statements = [counted(node), ...made.statements];
        return factory.updateCaseClause(made, made.expression, statements);
      }
      if (ts.isDefaultClause(made)) {
        return factory.updateDefaultClause(made, [counted(node), ...made.statements]);
      }
      if (ts.isCatchClause(made)) {
        const block = inBlock(node.block, made.block);
        return factory.updateCatchClause(made, made.variableDeclaration, block);
      }
      if (ts.isConditionalExpression(made)) {
        return factory.updateConditionalExpression(
          made,
          made.condition,
          made.questionToken,
          inExpression(node.whenTrue, made.whenTrue),
          made.colonToken,
          inExpression(node.whenFalse, made.whenFalse),
        );
      }
      if (ts.isBinaryExpression(made) && LOGICAL.has(made.operatorToken.kind)) {
        const right = inExpression(node.right, made.right);
        return factory.updateBinaryExpression(made, made.left, made.operatorToken, right);
      }
      // In a constructor nothing may come before super().
      if (ts.isArrowFunction(made) && !ts.isBlock(made.body)) {
        return factory.updateArrowFunction(
          made,
          made.modifiers,
          made.typeParameters,
          made.parameters,
          made.type,
          made.equalsGreaterThanToken,
          inExpression(node.body, made.body),
        );
      }
      if (
        ts.isBlock(made) &&
        ts.isFunctionLike(node.parent) &&
        !ts.isConstructorDeclaration(node.parent)
      ) {
        return inBlock(node, made);
      }
      return made;
    };
    return ts.visitNode(source, visit);
  };
  const { outputText } = ts.transpileModule(text, {
    fileName,
    compilerOptions: {
      target: ts.ScriptTarget.ES2022,
      module: ts.ModuleKind.ESNext,
      isolatedModules: true,
    },
    transformers: { before: [transformer] },
  });
  return outputText;
}
